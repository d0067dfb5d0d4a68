# The network of the workers in EC2 of {{ network.cluster }}, as `hoist burst plan --format terraform` writes it.
# What is not here: the gateway's instance and the workers. hoist starts and ends those.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

provider "aws" {
  region = {{ network.region | tojson }}
  default_tags {
    tags = {
{% for key, value in network.tags | items %}
      {{ key | tojson }} = {{ value | tojson }}
{% endfor %}
    }
  }
}

resource "aws_vpc" "burst" {
  cidr_block           = "{{ network.vpc }}"
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = "hoist-{{ network.cluster }}" }
}

resource "aws_internet_gateway" "burst" {
  vpc_id = aws_vpc.burst.id
}
{% for zone in network.zones %}

resource "aws_subnet" "workers_{{ loop.index }}" {
  vpc_id            = aws_vpc.burst.id
  availability_zone = "{{ zone.name }}"
  cidr_block        = "{{ zone.workers }}"
  tags              = { Name = "hoist-{{ network.cluster }}-workers-{{ zone.name }}" }
}

resource "aws_subnet" "gateway_{{ loop.index }}" {
  vpc_id            = aws_vpc.burst.id
  availability_zone = "{{ zone.name }}"
  cidr_block        = "{{ zone.gateway }}"
  tags              = { Name = "hoist-{{ network.cluster }}-gateway-{{ zone.name }}" }
}
{% endfor %}

# The gateway's address and interface outlive its instance: a new one takes both.
resource "aws_security_group" "gateway" {
  name        = "hoist-{{ network.cluster }}-gateway"
  description = "WireGuard from the machines, and what workers send through it"
  vpc_id      = aws_vpc.burst.id

  ingress {
    description = "WireGuard"
    protocol    = "udp"
    from_port   = {{ wireguard }}
    to_port     = {{ wireguard }}
    cidr_blocks = {{ (network.office or ["0.0.0.0/0"]) | tojson }}
  }
  ingress {
    description = "what workers send to the machines and to the internet"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = [{% for zone in network.zones %}"{{ zone.workers }}"{% if not loop.last %}, {% endif %}{% endfor %}]
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_network_interface" "gateway" {
  subnet_id         = aws_subnet.gateway_1.id
  security_groups   = [aws_security_group.gateway.id]
  source_dest_check = false
  tags              = { Name = "hoist-{{ network.cluster }}-gateway" }
}

resource "aws_eip" "gateway" {
  domain            = "vpc"
  network_interface = aws_network_interface.gateway.id
  depends_on        = [aws_internet_gateway.burst]
}

resource "aws_route_table" "gateway" {
  vpc_id = aws_vpc.burst.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.burst.id
  }
}

# The machines, and the internet, through the gateway.
resource "aws_route_table" "workers" {
  vpc_id = aws_vpc.burst.id
  route {
    cidr_block           = "0.0.0.0/0"
    network_interface_id = aws_network_interface.gateway.id
  }
{% for net in network.lan %}
  route {
    cidr_block           = "{{ net }}"
    network_interface_id = aws_network_interface.gateway.id
  }
{% endfor %}
}
{% for zone in network.zones %}

resource "aws_route_table_association" "workers_{{ loop.index }}" {
  subnet_id      = aws_subnet.workers_{{ loop.index }}.id
  route_table_id = aws_route_table.workers.id
}

resource "aws_route_table_association" "gateway_{{ loop.index }}" {
  subnet_id      = aws_subnet.gateway_{{ loop.index }}.id
  route_table_id = aws_route_table.gateway.id
}
{% endfor %}

resource "aws_security_group" "workers" {
  name        = "hoist-{{ network.cluster }}-workers"
  description = "the machines of the cluster, and workers among themselves"
  vpc_id      = aws_vpc.burst.id

  ingress {
    description = "workers among themselves"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    self        = true
  }
  ingress {
    description = "kubelet"
    protocol    = "tcp"
    from_port   = 10250
    to_port     = 10250
    cidr_blocks = {{ network.lan | tojson }}
  }
  ingress {
    description = "Cilium's overlay"
    protocol    = "udp"
    from_port   = 8472
    to_port     = 8472
    cidr_blocks = {{ network.lan | tojson }}
  }
  ingress {
    description = "Cilium's health checks"
    protocol    = "tcp"
    from_port   = 4240
    to_port     = 4240
    cidr_blocks = {{ network.lan | tojson }}
  }
  ingress {
    description = "ping"
    protocol    = "icmp"
    from_port   = 8
    to_port     = 0
    cidr_blocks = {{ network.lan | tojson }}
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

# Disks of workers are encrypted with it.
resource "aws_kms_key" "disks" {
  description         = "disks of the workers of {{ network.cluster }}"
  enable_key_rotation = true
}

resource "aws_kms_alias" "disks" {
  name          = "alias/hoist-{{ network.cluster }}"
  target_key_id = aws_kms_key.disks.key_id
}

# A role without a right: an instance that is taken over can do nothing in AWS.
resource "aws_iam_role" "workers" {
  name = "hoist-{{ network.cluster }}-workers"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_instance_profile" "workers" {
  name = "hoist-{{ network.cluster }}-workers"
  role = aws_iam_role.workers.name
}
