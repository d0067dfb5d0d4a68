//! EC2's errors, sorted by what has to be done about them.
//!
//! Codes are those of "Error codes for the Amazon EC2 API". The code decides, not the HTTP status: EC2 sends
//! `InsufficientInstanceCapacity` with status 500, which no client may take for a broken server.

use miette::Diagnostic;

/// What was asked of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    RunInstances,
    DescribeInstances,
    TerminateInstances,
    DeleteVolume,
    DeleteNetworkInterface,
    GetConsoleOutput,
    DescribeInstanceTypes,
    DescribeInstanceTypeOfferings,
    DescribeSpotPriceHistory,
    /// Of the Price List API.
    GetProducts,
    /// Of this kind, such as `Subnets`.
    Describe(&'static str),
    DescribeStacks,
    DescribeStackEvents,
    CreateStack,
    UpdateStack,
    DeleteStack,
}

impl Order {
    /// Whose it is, and its name in permissions.
    fn service(self) -> (&'static str, &'static str) {
        match self {
            Order::DescribeStacks
            | Order::DescribeStackEvents
            | Order::CreateStack
            | Order::UpdateStack
            | Order::DeleteStack => ("CloudFormation", "cloudformation"),
            Order::GetProducts => ("AWS' price list", "pricing"),
            _ => ("EC2", "ec2"),
        }
    }
}

impl std::fmt::Display for Order {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Order::Describe(kind) => write!(formatter, "Describe{kind}"),
            order => write!(formatter, "{order:?}"),
        }
    }
}

/// Where there were none to send.
pub const NO_CREDENTIALS: &str = "NoCredentials";

/// What an error means for whoever gave the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// EC2 has none of this type in this zone now. Nothing was launched; another offer may do.
    Capacity,
    /// The subnet has no free address. Nothing was launched; another zone may do.
    FullSubnet,
    /// The account may have no more vCPUs of this capacity type in this [bucket](crate::burst::quota::Bucket) of families.
    /// Nothing was launched.
    Quota,
    /// Another limit of the account, whatever the type: of volumes, of interfaces, of spot instances at all. Nothing was
    /// launched; the other capacity type may do.
    Limit,
    /// The credentials do not allow it. Repeating does not help until somebody changes something.
    Denied,
    /// Too many calls. Nothing was done; later.
    Throttled,
    /// The credentials were good and are no more, or the clock here is wrong. Nothing was done; later, for whoever gave
    /// them may renew them.
    Expired,
    /// Nobody knows whether it was done: the answer was cut, late, or said that EC2 broke.
    Ambiguous,
    /// EC2 does not know it. Never proof that it does not exist: what EC2 tells lags behind what it does.
    NotFound,
    /// The client token was used before with another request: that request may have made an instance.
    Mismatch,
    /// The client token was used before, by this request, and its instance has ended. Nothing runs; another token may do.
    TokenUsedUp,
    /// The request is wrong. Repeating does not help until the configuration changes.
    Invalid,
}

/// An order that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("{} refused {order}: {code}: {message}{}", order.service().0, self.cause())]
#[diagnostic(help("{}", self.help()))]
pub struct CloudError {
    pub order: Order,
    pub kind: Kind,
    /// EC2's, or `no answer` where there was none.
    pub code: String,
    /// EC2's own words.
    pub message: String,
}

impl CloudError {
    /// Sorts what EC2 answered.
    pub fn answered(order: Order, status: u16, code: &str, message: &str) -> Self {
        Self { order, kind: kind(order, status, code), code: code.to_owned(), message: message.to_owned() }
    }

    /// No answer: cut, or not in time. `reason` says which.
    pub fn unanswered(order: Order, reason: &str) -> Self {
        let (code, message) = ("no answer".to_owned(), reason.to_owned());
        Self { order, kind: Kind::Ambiguous, code, message }
    }

    /// What EC2's words do not say, and who reads the status has to know.
    fn cause(&self) -> &'static str {
        match self.kind {
            Kind::Expired => " (the credentials have expired, or the clock here is wrong)",
            _ => "",
        }
    }

    /// The action that is missing. A launch asks for more than its own: for a role, or a parameter that names the image.
    fn missing(&self) -> String {
        let told = self.message.split_once("not authorized to perform: ").map(|(_, rest)| rest);
        let told = told.and_then(|rest| rest.split_whitespace().next()).filter(|action| action.contains(':'));
        told.map_or_else(
            || format!("ec2:{}", self.order),
            |action| action.trim_end_matches(['.', ',']).to_owned(),
        )
    }

    fn help(&self) -> String {
        if self.kind == Kind::Expired {
            return "renew the credentials where they come from, or give others and start this anew; if they are good, set the clock of this machine. It is repeated, more slowly".into();
        }
        if self.order == Order::GetProducts {
            return "the credentials need the action pricing:GetProducts; or say `burst.prices` in the inventory, and the price list is not asked".into();
        }
        match self.kind {
            Kind::Capacity | Kind::FullSubnet => {
                "nothing to do: the next offer is taken. If all are refused, allow more instance types or zones".into()
            }
            Kind::Limit if self.order.service().1 != "ec2" => {
                "Service Quotas in the AWS console raises it".into()
            }
            Kind::Quota => {
                "other families or the other capacity type are tried; Service Quotas in the AWS console raises it: `hoist burst plan` names it".into()
            }
            Kind::Limit => "the other capacity type is tried; Service Quotas in the AWS console raises it".into(),
            Kind::Denied if self.code == NO_CREDENTIALS => {
                "they are looked for where all tools of AWS do: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE and ~/.aws, the instance's role".into()
            }
            Kind::Denied if self.order.service().1 != "ec2" => format!(
                "the credentials need the action {}:{}: compare their policy with `hoist burst plan --as setup-policy`",
                self.order.service().1,
                self.order
            ),
            Kind::Denied => format!(
                "the credentials need the action {}: compare their policy with `hoist burst plan`, then change the configuration or restart the controller's unit",
                self.missing()
            ),
            Kind::Throttled | Kind::Expired | Kind::Ambiguous => "nothing to do: it is repeated, more slowly".into(),
            Kind::NotFound => "nothing to do: EC2's answers lag, and it is asked again".into(),
            Kind::Mismatch => {
                "this is a mistake in hoist, for a repeated launch must be the same bytes: please report it. What was launched is terminated".into()
            }
            Kind::TokenUsedUp => {
                "nothing to do: the instance that it was for has ended, and another is launched".into()
            }
            Kind::Invalid => "the message is EC2's own and names the parameter: mend it in the inventory".into(),
        }
    }
}

fn kind(order: Order, status: u16, code: &str) -> Kind {
    match code {
        "InsufficientInstanceCapacity" | "InsufficientHostCapacity" | "InsufficientReservedInstanceCapacity"
        | "InsufficientReservedInstancesCapacity" | "InsufficientCapacity" | "SpotMaxPriceTooLow" | "UnfulfillableCapacity"
        // "The requested configuration is currently not supported": this type is not sold in this zone.
        | "Unsupported" => Kind::Capacity,
        // The zone lacks it, whatever the type.
        "InsufficientFreeAddressesInSubnet" | "InsufficientAddressCapacity" | "InsufficientVolumeCapacity" => {
            Kind::FullSubnet
        }
        "VcpuLimitExceeded" | "InstanceLimitExceeded" | "MaxSpotInstanceCountExceeded" => Kind::Quota,
        "MaxSpotFleetRequestCountExceeded" | "VolumeLimitExceeded" | "ResourceCountExceeded"
        | "MaxIOPSLimitExceeded" | "LimitExceededException" | "NetworkInterfaceLimitExceeded" | "PrivateIpAddressLimitExceeded"
        // An account that never had a spot instance, and credentials that may not make the role for it.
        | "AuthFailure.ServiceLinkedRoleCreationNotPermitted" => Kind::Limit,
        "UnauthorizedOperation" | "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch"
        | "OptInRequired" | "PendingVerification" | "Blocked" | "AccessDenied"
        | "UnrecognizedClientException" | "MissingAuthenticationToken" => Kind::Denied,
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "EC2ThrottledException"
        | "RequestThrottled" | "ConcurrentTagAccess" => Kind::Throttled,
        // EC2 says the first of credentials for a session that is over, and of a clock that is wrong; others the rest.
        "RequestExpired" | "ExpiredToken" | "ExpiredTokenException" | "RequestTimeTooSkewed" => Kind::Expired,
        "IdempotentParameterMismatch" => Kind::Mismatch,
        "IdempotentInstanceTerminated" => Kind::TokenUsedUp,
        _ if code.starts_with("AuthFailure.") => Kind::Denied,
        _ if status >= 500 || status == 408 => Kind::Ambiguous,
        // At a launch it is the image, the subnet or the security group that is not there.
        _ if code.ends_with(".NotFound") && order != Order::RunInstances => Kind::NotFound,
        _ => Kind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_code_before_status() {
        let launch = Order::RunInstances;
        for (order, status, code, expected) in [
            (launch, 500, "InsufficientInstanceCapacity", Kind::Capacity),
            (launch, 400, "Unsupported", Kind::Capacity),
            // As EC2's list has it, and as its client libraries do.
            (launch, 500, "InsufficientReservedInstancesCapacity", Kind::Capacity),
            (launch, 500, "InsufficientReservedInstanceCapacity", Kind::Capacity),
            (launch, 400, "InsufficientFreeAddressesInSubnet", Kind::FullSubnet),
            (launch, 400, "MaxSpotInstanceCountExceeded", Kind::Quota),
            (launch, 400, "VcpuLimitExceeded", Kind::Quota),
            (launch, 403, "AuthFailure.ServiceLinkedRoleCreationNotPermitted", Kind::Limit),
            (launch, 400, "VolumeLimitExceeded", Kind::Limit),
            (Order::CreateStack, 400, "LimitExceededException", Kind::Limit),
            (launch, 403, "AuthFailure.Other", Kind::Denied),
            (launch, 500, "InsufficientVolumeCapacity", Kind::FullSubnet),
            (launch, 400, "RequestExpired", Kind::Expired),
            (Order::GetProducts, 400, "ExpiredTokenException", Kind::Expired),
            (Order::CreateStack, 403, "ExpiredToken", Kind::Expired),
            (launch, 403, "UnauthorizedOperation", Kind::Denied),
            (launch, 401, "AuthFailure", Kind::Denied),
            (launch, 400, "RequestLimitExceeded", Kind::Throttled),
            (launch, 503, "RequestLimitExceeded", Kind::Throttled),
            (launch, 500, "InternalError", Kind::Ambiguous),
            (launch, 503, "Unavailable", Kind::Ambiguous),
            (launch, 400, "IdempotentParameterMismatch", Kind::Mismatch),
            (launch, 400, "IdempotentInstanceTerminated", Kind::TokenUsedUp),
            (launch, 400, "InvalidSubnetID.NotFound", Kind::Invalid),
            (Order::TerminateInstances, 400, "InvalidInstanceID.NotFound", Kind::NotFound),
            (launch, 400, "InvalidParameterValue", Kind::Invalid),
        ] {
            assert_eq!(CloudError::answered(order, status, code, "").kind, expected, "{code}");
        }
    }

    #[test]
    fn credentials_that_have_expired_are_told_as_that() {
        for order in [Order::DescribeInstances, Order::GetProducts, Order::CreateStack] {
            let error = CloudError::answered(order, 400, "RequestExpired", "Request has expired.");
            assert!(
                error.to_string().ends_with("(the credentials have expired, or the clock here is wrong)")
            );
            assert!(error.help().contains("renew the credentials"), "{}", error.help());
        }
        let throttled = CloudError::answered(Order::RunInstances, 503, "RequestLimitExceeded", "slow down");
        assert_eq!(throttled.to_string(), "EC2 refused RunInstances: RequestLimitExceeded: slow down");
    }

    #[test]
    fn a_refusal_names_the_action_that_is_missing() {
        let error =
            CloudError::answered(Order::TerminateInstances, 403, "UnauthorizedOperation", "You are not");
        assert!(error.help().contains("ec2:TerminateInstances"));
        let said = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/burst is not authorized to \
                    perform: ssm:GetParameters on resource: arn:aws:ssm:eu-central-1:1:parameter/company/golden because no \
                    identity-based policy allows the ssm:GetParameters action";
        let parameter = CloudError::answered(Order::RunInstances, 403, "UnauthorizedOperation", said);
        assert!(parameter.help().contains("the action ssm:GetParameters:"), "{}", parameter.help());
        let stack = CloudError::answered(Order::CreateStack, 403, "AccessDenied", "no");
        assert!(stack.help().contains("cloudformation:CreateStack"));
        assert_eq!(stack.to_string(), "CloudFormation refused CreateStack: AccessDenied: no");
        assert_eq!(error.to_string(), "EC2 refused TerminateInstances: UnauthorizedOperation: You are not");
    }
}
