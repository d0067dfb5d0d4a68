"""moto's EC2 with the rules that a launch meets in the real one: tokens, times, capacity, quotas, addresses.

RULES in the environment says what there is, as JSON: seconds until an instance runs (`pending`) and until
DescribeInstances shows it so (`lag`), and until one that has ended is forgotten (`forget`); types that are sold out
(`short`), and vCPUs by capacity type and bucket of families (`vcpus`).
"""

import base64
import json
import os
import re
import time

from moto.core.responses import ActionResult
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceBackend, InstanceState
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.responses.instances import InstanceResponse

RULES = json.loads(os.environ.get("RULES", "{}"))
PENDING, LAG, FORGET = RULES.get("pending", 0), RULES.get("lag", 0), RULES.get("forget", 3600)
USER_DATA = 16 * 1024
STATES = {"pending": 0, "running": 16, "terminated": 48}
# What was asked, and given, by client token.
launched = {}

make = InstanceResponse.run_instances
end = Instance.terminate
reservations = InstanceBackend.all_reservations


def state(instance, at):
    # By name; nothing before it was launched.
    ended = getattr(instance, "ended", float("inf"))
    if at >= ended:
        return None if at >= ended + FORGET else "terminated"
    began = instance.began
    return None if at < began else "pending" if at < began + PENDING else "running"


def refusal(status, code, message):
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>", {"status": status}


def vcpus(instance_type):
    return INSTANCE_TYPES[instance_type]["VCpuInfo"]["DefaultVCpus"]


def bucket(instance_type):
    letters = re.match("[a-z]*", instance_type)[0]
    names = {"dl": "DL", "hpc": "HPC", "inf": "Inf", "trn": "Trn", "u": "High Memory", "vt": "G and VT", "g": "G and VT"}
    first = "Standard" if letters[0] in "acdhimrtz" else names.get(letters[0], letters[0].upper())
    return names.get(letters, first)


def hindrance(response):
    backend, asked = response.ec2_backend, response._get_param
    instance_type, spot = asked("InstanceType"), bool(asked("InstanceMarketOptions.MarketType"))
    if len(base64.b64decode(asked("UserData") or "")) > USER_DATA:
        return 400, "InvalidParameterValue", "User data is limited to 16384 bytes"
    if asked("CreditSpecification.CpuCredits") and not re.match("t[0-9]", instance_type):
        message = f"The {instance_type} instance type does not support specifying CpuCredits."
        return 400, "InstanceCreditSpecification.NotSupported", message
    for subnet in [it for zone in backend.subnets.values() for it in zone.values() if it.id == asked("SubnetId")]:
        if subnet.available_ip_address_count < 1:
            return 400, "InsufficientFreeAddressesInSubnet", f"There are no free addresses in {subnet.id}."
    if instance_type in RULES.get("short", []):
        return 500, "InsufficientInstanceCapacity", f"We currently do not have sufficient {instance_type} capacity."
    counted = bucket(instance_type)
    most = RULES.get("vcpus", {}).get("spot" if spot else "on-demand", {}).get(counted)
    alive = [it for it in backend.all_instances() if it.state != "terminated" and (it.lifecycle == "spot") == spot]
    alive = [it for it in alive if bucket(it.instance_type) == counted]
    if most is not None and sum(vcpus(it.instance_type) for it in alive) + vcpus(instance_type) > most:
        return 400, "MaxSpotInstanceCountExceeded" if spot else "VcpuLimitExceeded", f"You may have {most} vCPUs."
    return None


def run_instances(self):
    token, asked = self._get_param("ClientToken"), json.dumps(self.data, sort_keys=True, default=str)
    if token in launched:
        before, answer = launched[token]
        if before != asked:
            message = f"The client token {token} was used with other parameters."
            return refusal(400, "IdempotentParameterMismatch", message)
        # Its instance as it is now, and be it terminated, for as long as there is something to tell of it.
        if any(state(it, time.time()) is None for it in answer.result.instances):
            message = f"The instance of the client token {token} has been terminated."
            return refusal(400, "IdempotentInstanceTerminated", message)
        self.ec2_backend.all_reservations()
        return answer
    why = hindrance(self)
    if why is not None:
        return refusal(*why)
    answer = make(self)
    for instance in answer.result.instances:
        instance.began = time.time()
    if token:
        launched[token] = (asked, answer)
    return answer


def show(answer, at):
    for reservation in answer:
        for instance in list(reservation.instances):
            told = state(instance, at)
            if told is None:
                reservation.instances = [it for it in reservation.instances if it is not instance]
            else:
                instance._state = InstanceState(told, STATES[told])
    return [reservation for reservation in answer if reservation.instances]


def all_reservations(self, filters=None):
    return show(reservations(self, filters), time.time())


def describe_instances(self, filters=None):
    return show(reservations(self, filters), time.time() - LAG)


def terminate(self):
    before = end(self)
    self.ended = getattr(self, "ended", time.time())
    return before


InstanceResponse.run_instances = run_instances
Instance.terminate = terminate
Instance.began = 0
InstanceBackend.all_reservations = all_reservations
InstanceBackend.describe_instances = describe_instances
# The answer to a launch says what is so, and not always that it is pending.
transformers = EC2BaseResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER
transformers["RunInstances.Reservation.Instances.Instance.State"] = lambda state: (
    state if state.name == "terminated" else InstanceState("pending", 0)
)
