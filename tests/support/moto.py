"""moto with its gaps in CloudFormation closed, as far as tests meet them."""

import sys

from moto.cloudformation.responses import CloudFormationResponse
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.internet_gateways import InternetGateway
from moto.ec2.models.route_tables import Route, RouteTable
from moto.ec2.models.security_groups import SecurityGroup
from moto.kms.models import Key
from moto.server import main

make_key = Key.create_from_cloudformation_json.__func__
make_address = ElasticAddress.create_from_cloudformation_json.__func__
delete_interface = NetworkInterface.delete
# Of changes of stacks, by client request token.
answers = {}


def key(cls, resource_name, cloudformation_json, *rest, **more):
    # CloudFormation's tags have other keys than those of KMS' own API.
    properties = dict(cloudformation_json["Properties"])
    tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in properties.get("Tags", [])]
    template = {**cloudformation_json, "Properties": {**properties, "Tags": tags}}
    return make_key(cls, resource_name, template, *rest, **more)


def change_group(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
    # Its rules change, not the group.
    original_resource.ingress_rules.clear()
    for rule in cloudformation_json["Properties"].get("SecurityGroupIngress", []):
        ec2_backends[account_id][region_name].authorize_security_group_ingress(
            group_name_or_id=original_resource.id,
            ip_protocol=rule["IpProtocol"],
            from_port=rule["FromPort"],
            to_port=rule["ToPort"],
            ip_ranges=rule["CidrIp"],
            source_groups=[],
            vpc_id=original_resource.vpc_id,
        )
    return original_resource


def delete_route(self, account_id, region_name):
    # It is its table that knows it; that may be gone.
    backend = ec2_backends[account_id][region_name]
    if self.route_table.id in backend.route_tables:
        backend.delete_route(self.route_table.id, self.destination_cidr_block)


def delete_table(self, account_id, region_name):
    # Routes and associations go with it.
    ec2_backends[account_id][region_name].route_tables.pop(self.id, None)


def address(cls, resource_name, cloudformation_json, account_id, region_name, **more):
    # It is called by its address, and tagged by its id. The emulator's own ones lead nowhere.
    made = make_address(cls, resource_name, cloudformation_json, account_id, region_name, **more)
    made.public_ip = "203.0.113.7"
    tags = {tag["Key"]: tag["Value"] for tag in cloudformation_json["Properties"].get("Tags", [])}
    ec2_backends[account_id][region_name].create_tags([made.allocation_id], tags)
    return made


def release_address(self, account_id, region_name):
    ec2_backends[account_id][region_name].release_address(allocation_id=self.allocation_id)


def delete_gateway(self, account_id, region_name):
    # With its attachment, which is no thing of its own in EC2.
    self.vpc = None
    ec2_backends[account_id][region_name].delete_internet_gateway(self.id)


def once(call):
    # Who asks with the same token has not had the answer.
    def repeated(self):
        token = self._get_param("ClientRequestToken")
        if token in answers:
            return answers[token]
        answer = call(self)
        if token:
            answers[token] = answer
        return answer

    return repeated


CloudFormationResponse.create_stack = once(CloudFormationResponse.create_stack)
CloudFormationResponse.update_stack = once(CloudFormationResponse.update_stack)
Key.create_from_cloudformation_json = classmethod(key)
SecurityGroup.update_from_cloudformation_json = classmethod(change_group)
ElasticAddress.create_from_cloudformation_json = classmethod(address)
ElasticAddress.delete = release_address
InternetGateway.delete = delete_gateway
NetworkInterface.delete = lambda self, *_: delete_interface(self)
Route.delete = delete_route
RouteTable.delete = delete_table

if __name__ == "__main__":
    main(sys.argv[1:])
