{# Names say what they are for, not where they stand in a list: what is added there must not rename the others. #}
{% macro zone_id(zone) %}{{ zone.name | replace(network.region, "") }}{% endmacro %}
{% macro net_id(net) %}{{ net | replace(".", "_") | replace("/", "_") }}{% endmacro %}
# The network of the workers in EC2 of {{ network.cluster }}, as `hoist burst plan --as terraform` writes it.
{% if network.connection == "gateway" %}
# For review only: hoist keeps a gateway in the network alone that it makes itself, with `hoist burst up`. In one that is made
# of this document workers reach neither the machines nor the internet, for both routes lead to an instance that nobody starts.
{% else %}
# What is not here: the workers. hoist starts and ends those, when the ids that are outputs here are in `burst.existing`.
{% endif %}
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

resource "aws_subnet" "workers_{{ zone_id(zone) }}" {
  vpc_id            = aws_vpc.burst.id
  availability_zone = "{{ zone.name }}"
  cidr_block        = "{{ zone.workers }}"
  tags              = { Name = "hoist-{{ network.cluster }}-workers-{{ zone.name }}" }
}

resource "aws_subnet" "gateway_{{ zone_id(zone) }}" {
  vpc_id            = aws_vpc.burst.id
  availability_zone = "{{ zone.name }}"
  cidr_block        = "{{ zone.gateway }}"
  tags              = { Name = "hoist-{{ network.cluster }}-gateway-{{ zone.name }}" }
}
{% endfor %}
{% if network.connection == "gateway" %}

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
  subnet_id         = aws_subnet.gateway_{{ zone_id(network.zones[0]) }}.id
  security_groups   = [aws_security_group.gateway.id]
  source_dest_check = false
  tags              = { Name = "hoist-{{ network.cluster }}-gateway" }
}

resource "aws_eip" "gateway" {
  domain            = "vpc"
  network_interface = aws_network_interface.gateway.id
  depends_on        = [aws_internet_gateway.burst]
}
{% else %}

# The internet for workers, one way. Their way to the machines is not its business.
resource "aws_eip" "nat" {
  domain     = "vpc"
  depends_on = [aws_internet_gateway.burst]
}

resource "aws_nat_gateway" "burst" {
  allocation_id = aws_eip.nat.id
  subnet_id     = aws_subnet.gateway_{{ zone_id(network.zones[0]) }}.id
  tags          = { Name = "hoist-{{ network.cluster }}-nat" }
  depends_on    = [aws_internet_gateway.burst]
}
{% endif %}
{% if network.connection == "vpn" %}

# The office's device, and two tunnels to it. It offers no routes (BGP): they are said here.
resource "aws_customer_gateway" "office" {
  type       = "ipsec.1"
  bgp_asn    = 65000
  ip_address = "{{ network.vpn_device }}"
}

resource "aws_vpn_gateway" "burst" {
  vpc_id = aws_vpc.burst.id
}

resource "aws_vpn_connection" "office" {
  type                = "ipsec.1"
  static_routes_only  = true
  customer_gateway_id = aws_customer_gateway.office.id
  vpn_gateway_id      = aws_vpn_gateway.burst.id
}
{% for net in network.lan %}

resource "aws_vpn_connection_route" "machines_{{ net_id(net) }}" {
  vpn_connection_id      = aws_vpn_connection.office.id
  destination_cidr_block = "{{ net }}"
}
{% endfor %}

resource "aws_vpn_gateway_route_propagation" "workers" {
  vpn_gateway_id = aws_vpn_gateway.burst.id
  route_table_id = aws_route_table.workers.id
}
{% endif %}

resource "aws_route_table" "gateway" {
  vpc_id = aws_vpc.burst.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.burst.id
  }
}

# Of workers: {% if network.connection == "gateway" %}the machines, and the internet, through the gateway{% elif network.connection == "vpn" %}the machines through the VPN, the internet through NAT{% else %}the internet. Routes to the machines are for whoever connects them{% endif %}.
resource "aws_route_table" "workers" {
  vpc_id = aws_vpc.burst.id
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.workers.id
  destination_cidr_block = "0.0.0.0/0"
{% if network.connection == "gateway" %}
  network_interface_id   = aws_network_interface.gateway.id
{% else %}
  nat_gateway_id         = aws_nat_gateway.burst.id
{% endif %}
}
{% if network.connection == "gateway" %}
{% for net in network.lan %}

resource "aws_route" "machines_{{ net_id(net) }}" {
  route_table_id         = aws_route_table.workers.id
  destination_cidr_block = "{{ net }}"
  network_interface_id   = aws_network_interface.gateway.id
}
{% endfor %}
{% endif %}
{% for zone in network.zones %}

resource "aws_route_table_association" "workers_{{ zone_id(zone) }}" {
  subnet_id      = aws_subnet.workers_{{ zone_id(zone) }}.id
  route_table_id = aws_route_table.workers.id
}

resource "aws_route_table_association" "gateway_{{ zone_id(zone) }}" {
  subnet_id      = aws_subnet.gateway_{{ zone_id(zone) }}.id
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
    description = "Cilium's encryption"
    protocol    = "udp"
    from_port   = 51871
    to_port     = 51871
    cidr_blocks = {{ network.lan | tojson }}
  }
  ingress {
    description = "Hubble"
    protocol    = "tcp"
    from_port   = 4244
    to_port     = 4244
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

data "aws_caller_identity" "current" {}

# Disks of workers are encrypted with it. The rights of the account's own policies apply to it. Whoever EC2 encrypts a disk for
# may use it: whoever launches, and for spot instances a role of EC2's own, which has no policy that could allow it.
resource "aws_kms_key" "disks" {
  description         = "disks of the workers of {{ network.cluster }}"
  enable_key_rotation = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.current.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = {
          StringEquals = {
            "kms:CallerAccount" = data.aws_caller_identity.current.account_id
            "kms:ViaService"    = "ec2.{{ network.region }}.amazonaws.com"
          }
        }
      },
      {
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = "kms:CreateGrant"
        Resource  = "*"
        Condition = {
          StringEquals = {
            "kms:CallerAccount" = data.aws_caller_identity.current.account_id
            "kms:ViaService"    = "ec2.{{ network.region }}.amazonaws.com"
          }
          Bool = { "kms:GrantIsForAWSResource" = "true" }
        }
      },
    ]
  })
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

# What launches need, and whoever looks after the network.
output "vpc" {
  value = aws_vpc.burst.id
}

output "workers_subnets" {
  value = {
{% for zone in network.zones %}
    "{{ zone.name }}" = aws_subnet.workers_{{ zone_id(zone) }}.id
{% endfor %}
  }
}

output "workers_routes" {
  value = aws_route_table.workers.id
}

output "workers_group" {
  value = aws_security_group.workers.id
}

output "workers_profile" {
  value = aws_iam_instance_profile.workers.name
}

output "disk_key" {
  value = aws_kms_key.disks.arn
}
{% if network.connection == "gateway" %}

output "gateway" {
  value = {
    address         = aws_eip.gateway.public_ip
    allocation      = aws_eip.gateway.id
    interface       = aws_network_interface.gateway.id
    private_address = aws_network_interface.gateway.private_ip
    subnet          = aws_subnet.gateway_{{ zone_id(network.zones[0]) }}.id
    group           = aws_security_group.gateway.id
  }
}
{% endif %}
{% if network.connection == "vpn" %}

# Its configuration is what the office's device needs.
output "vpn_connection" {
  value = aws_vpn_connection.office.id
}
{% endif %}
