"""Azure's error codes, what each means, and what helps.

Codes: "Resolve common ARM template deployment errors", the AKS error code pages, and the error
references of Storage, Network, Compute and Container Registry.
"""

from __future__ import annotations

from elastron.cloud.azure.problem_rule import Rule
from elastron.errors import (
    CloudBusyError,
    CloudError,
    LoginError,
    NameTakenError,
    NotAllowedError,
    NotOfferedError,
    QuotaError,
)


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.lower().split())


_MORE_QUOTA = (
    "Ask for a higher limit (portal: Quotas, Compute; aka.ms/quotas), or choose a smaller size, "
    "fewer nodes (`max`), or another location."
)
_AGAIN = "Run the command again; it goes on where it stopped."

RULES: tuple[Rule, ...] = (
    # --- who is logged in ---------------------------------------------------------------------
    Rule(
        LoginError,
        "the login has ended",
        "Log in again: az login.",
        _codes("ExpiredAuthenticationToken AADSTS70043 AADSTS700082 AADSTS50173 AADSTS500133"),
        quotes=False,
    ),
    Rule(
        LoginError,
        "the service principal's secret is wrong or has ended",
        "Make a new one and set AZURE_CLIENT_SECRET, or log in yourself: az login.",
        _codes("AADSTS7000222 AADSTS7000215 InvalidClientSecret"),
        quotes=False,
    ),
    Rule(
        LoginError,
        "the directory asks for more than a password",
        "Log in again in a browser: az login --use-device-code.",
        _codes("AADSTS50076 AADSTS50079 AADSTS50158 AADSTS53003 interaction_required"),
        quotes=False,
    ),
    Rule(
        LoginError,
        "the login is for another directory",
        "Log in to the subscription's: az login --tenant TENANT.",
        _codes("InvalidAuthenticationTokenTenant"),
    ),
    Rule(
        LoginError,
        "Azure does not accept the login",
        "Log in again: az login.",
        _codes("InvalidAuthenticationToken AuthenticationFailed invalid_grant AADSTS50020"),
    ),
    Rule(
        LoginError,
        "there is no such subscription for who is logged in",
        "See which there are with az account list, and name one with --subscription.",
        _codes("SubscriptionNotFound InvalidSubscriptionId"),
    ),
    # --- what is allowed ----------------------------------------------------------------------
    Rule(
        NotAllowedError,
        "the subscription is disabled and can only be read",
        "Its owner can enable it again (portal: Subscriptions); often a payment is due.",
        _codes("ReadOnlyDisabledSubscription SubscriptionNotActive"),
        quotes=False,
    ),
    Rule(
        NotAllowedError,
        "who is logged in may not do it",
        "Missing: {action} on {scope}. An owner can give the role Contributor, and for roles "
        "of others Role Based Access Control Administrator; then log in again.",
        _codes("AuthorizationFailed LinkedAuthorizationFailed"),
        r"not have (?:authorization|permission) to perform action(?:\(s\))? '(?P<action>[^']+)' "
        r"(?:over|on)(?: the linked)? scope(?:\(s\))? '(?P<scope>[^']+)'",
        quotes=False,
    ),
    Rule(
        NotAllowedError,
        "who is logged in may not do it",
        "An owner of the subscription can give the role that is missing.",
        _codes("AuthorizationFailed LinkedAuthorizationFailed Forbidden RequestDenied"),
    ),
    Rule(
        NotAllowedError,
        "a data service refuses who is logged in",
        "Its roles are apart from the subscription's: Storage Blob Data Contributor is missing, "
        "or is so new that it is not known everywhere yet (some minutes).",
        _codes("AuthorizationPermissionMismatch"),
        quotes=False,
    ),
    Rule(
        NotAllowedError,
        "Azure does not offer this region to the subscription",
        "Choose another location; subscriptions for students and trials have few.",
        _codes("RequestDisallowedByAzure"),
    ),
    Rule(
        NotAllowedError,
        "a policy forbids it",
        "Policy: {policies}. Make the description agree with it (tags, location, sizes, network "
        "doors), or ask who keeps the policy for an exemption.",
        _codes("RequestDisallowedByPolicy PolicyViolation"),
    ),
    Rule(
        NotAllowedError,
        "a lock protects it",
        "See az lock list; whoever set it can take it away.",
        _codes("ScopeLocked"),
    ),
    Rule(
        NotAllowedError,
        "the subscription is not registered for {namespace}",
        "An owner registers it with: az provider register --namespace {namespace} --wait.",
        _codes(
            "MissingSubscriptionRegistration SubscriptionNotRegistered NoRegisteredProviderFound"
        ),
        r"(?:use namespace|resource provider|provider) '?(?P<namespace>Microsoft\.\w+)",
        quotes=False,
    ),
    Rule(
        NotAllowedError,
        "the subscription is not registered for a service",
        "An owner registers it with az provider register.",
        _codes(
            "MissingSubscriptionRegistration SubscriptionNotRegistered NoRegisteredProviderFound"
        ),
    ),
    # --- how much -----------------------------------------------------------------------------
    Rule(
        QuotaError,
        "more cores than the subscription may have",
        "{family} in {location}: limit {limit}, in use {used}, {more} more needed. " + _MORE_QUOTA,
        _codes("QuotaExceeded OperationNotAllowed Conflict BadRequest"),
        r"exceeding approved (?P<family>.+?) quota\..*?Location: (?P<location>\w+), "
        r"Current Limit: (?P<limit>\d+), Current Usage: (?P<used>\d+), "
        r"Additional Required: (?P<more>\d+)",
        quotes=False,
    ),
    Rule(
        QuotaError,
        "more cores than the subscription may have",
        "{family} in {location}: {left} left, {more} needed. " + _MORE_QUOTA,
        _codes("ErrCode_InsufficientVCPUQuota InsufficientVCPUQuota"),
        r"requested (?P<more>\d+), remaining (?P<left>\d+) for family (?P<family>\w+) "
        r"for region (?P<location>\w+)",
        quotes=False,
    ),
    Rule(
        QuotaError,
        "more cores than the subscription may have",
        "All sizes together in {location}: {left} left, {more} needed. " + _MORE_QUOTA,
        _codes("ErrCode_InsufficientVCPUQuota InsufficientVCPUQuota"),
        r"for location (?P<location>\w+)\. left regional vcpu quota (?P<left>\d+), "
        r"requested quota (?P<more>\d+)",
        quotes=False,
    ),
    Rule(
        QuotaError,
        "more public addresses than the subscription may have",
        "Release some (az network public-ip list), or ask for a higher limit (portal: Quotas, "
        "Networking).",
        _codes(
            "PublicIPCountLimitReached StaticPublicIPCountLimitReached "
            "StandardSkuPublicIPCountLimitReached IPv4StandardSkuPublicIpCountLimitReached "
            "IPv4BasicSkuPublicIpCountLimitReached PublicIPAddressCountLimitReached"
        ),
    ),
    Rule(
        QuotaError,
        "more than the subscription may have",
        _MORE_QUOTA,
        _codes(
            "QuotaExceeded ErrCode_InsufficientVCPUQuota InsufficientVCPUQuota InsufficientQuota "
            "ResourceQuotaExceeded ResourceCountExceedsLimit "
            "MaxStorageAccountsCountPerSubscriptionExceeded"
        ),
    ),
    Rule(
        QuotaError,
        "more than the subscription may have",
        _MORE_QUOTA,
        _codes("OperationNotAllowed BadRequest Conflict"),
        r"exceed\w* (?:the )?(?:maximum|quota|approved|limit)|quota limits? of",
    ),
    # --- what there is ------------------------------------------------------------------------
    Rule(
        NotOfferedError,
        "the subscription may not use {size} in {location}",
        "Sizes it may use: az vm list-skus -l {location} -o table; name one with `vm_size`, or "
        "choose another location.",
        pattern=r"The VM size of (?:AgentPoolProfile:)?(?P<size>\S+) is not allowed in your "
        r"subscription in location '(?P<location>\w+)'",
        quotes=False,
    ),
    Rule(
        NotOfferedError,
        "{size} is not offered in {location}",
        "Sizes offered: az vm list-skus -l {location} -o table; name one with `vm_size`, or "
        "choose another location.",
        _codes("SkuNotAvailable"),
        r"(?:tier|size|resource type) '?(?P<size>[\w-]+)'? is currently not available in location "
        r"'(?P<location>\w+)'",
        quotes=False,
    ),
    Rule(
        NotOfferedError,
        "the size is not offered there",
        "Sizes offered: az vm list-skus -l LOCATION -o table; name one with `vm_size`, or choose "
        "another location.",
        _codes(
            "SkuNotAvailable NotAvailableForSubscription VMSizeNotSupported "
            "ErrCode_VMSizeNotSupported"
        ),
    ),
    Rule(
        NotOfferedError,
        "the size's own disk does not do as system disk",
        "Leave `os_disk: ephemeral` out, make `os_disk_gb` smaller, or choose a larger size.",
        _codes("VMSizeDoesNotSupportEphemeralOS VMCannotFitEphemeralOSDisk"),
    ),
    Rule(
        NotOfferedError,
        "the zones are not offered there",
        "Leave `zones` out, or name those that the size has: az vm list-skus -l LOCATION --zone.",
        _codes("AvailabilityZoneNotSupported ZonesNotAllowed InvalidAvailabilityZone"),
    ),
    Rule(
        NotOfferedError,
        "Azure has no machines of this size left there",
        "Try again later, leave `zones` out, or choose another size or location.",
        _codes(
            "ZonalAllocationFailed AllocationFailed OverconstrainedAllocationRequest "
            "OverconstrainedZonalAllocationRequest AKSCapacityHeavyUsage AKSCapacityError "
            "SpotNotAvailable"
        ),
    ),
    Rule(
        NotOfferedError,
        "the location is not offered",
        "See az account list-locations -o table, and name one with --location.",
        _codes(
            "LocationNotAvailableForResourceType LocationNotAvailableForResourceGroup "
            "InvalidLocation LocationIsOfferRestricted RegionDoesNotAllowProvisioning"
        ),
    ),
    Rule(
        NotOfferedError,
        "the Kubernetes version is not offered",
        "See az aks get-versions -l LOCATION -o table, or leave `kubernetes_version` out.",
        _codes(
            "K8sVersionNotSupported AgentPoolK8sVersionNotSupported UnsupportedKubernetesVersion"
        ),
    ),
    Rule(
        NotOfferedError,
        "gateways of this kind can no longer be made",
        "Use VpnGw1AZ to VpnGw5AZ (`vpn.sku`) with a Standard address.",
        _codes(
            "InvalidGatewaySkuProvidedForGatewayDeployment "
            "NonAzSkusNotAllowedForVPNGateway "
            "VmssVpnGatewayPublicIpsMustHaveZonesConfigured"
        ),
    ),
    # --- names --------------------------------------------------------------------------------
    Rule(
        NameTakenError,
        "somebody else has this storage account's name",
        "Name another with `storage.account`; it must be the only one in all of Azure.",
        _codes("StorageAccountAlreadyTaken"),
    ),
    Rule(
        NameTakenError,
        "the storage account is there already, in another group or place",
        "Name another with `storage.account`, or delete that one.",
        _codes("StorageAccountAlreadyExists StorageAccountInAnotherResourceGroup"),
    ),
    Rule(
        NameTakenError,
        "the name is taken",
        "Choose another one.",
        _codes(
            "AlreadyInUse NameNotAvailable DnsRecordInUse CustomDomainInUse "
            "DomainNameLabelNotUnique ReservedResourceName"
        ),
    ),
    Rule(
        NameTakenError,
        "it is there already, in another location",
        "Use that location, or another name; what is there cannot be moved.",
        _codes("InvalidResourceLocation InvalidResourceGroupLocation"),
    ),
    # --- not now ------------------------------------------------------------------------------
    Rule(
        CloudBusyError,
        "too many requests",
        "Wait some minutes. " + _AGAIN,
        _codes(
            "TooManyRequests SubscriptionRequestsThrottled OperationThrottled "
            "ResourceRequestsThrottled Throttled"
        ),
        quotes=False,
    ),
    Rule(
        CloudBusyError,
        "another operation is under way on it",
        "Wait until it is done (elastron aks status). " + _AGAIN,
        _codes(
            "AnotherOperationInProgress OperationInProgress ConcurrentOperation "
            "OperationPreempted AKSOperationPreempted AKSOperationPreemptedByDelete "
            "AccountIsBeingProvisioned ResourceGroupBeingDeleted ReferencedResourceNotProvisioned "
            "StorageAccountOperationInProgress ResourceBeingDeleted DeploymentActive EtagMismatch"
        ),
    ),
    Rule(
        CloudBusyError,
        "another operation is under way on it",
        "Wait until it is done (elastron aks status). " + _AGAIN,
        _codes("OperationNotAllowed Conflict CreateOrUpdateConflict"),
        r"in[- ]progress|another operation|is currently being|there is an existing operation",
    ),
    Rule(
        CloudBusyError,
        "something just made is not known everywhere yet",
        "Wait a minute. " + _AGAIN,
        _codes("PrincipalNotFound"),
        quotes=False,
    ),
    Rule(
        CloudBusyError,
        "Azure has a fault of its own",
        _AGAIN,
        _codes(
            "InternalServerError InternalError ServerTimeout ServiceUnavailable GatewayTimeout "
            "RetryableError RetryableErrorDueToAnotherOperation OperationTimedOut "
            "InternalOperationError ServerBusy Timeout RequestTimeout"
        ),
    ),
    # --- what we sent, or what is there -----------------------------------------------------------
    Rule(
        CloudError,
        "something else is in use of it",
        "Remove what uses it first; elastron aks down does so for its own.",
        _codes(
            "InUseSubnetCannotBeDeleted PublicIPAddressCannotBeDeleted "
            "LoadBalancerInUseByVirtualMachineScaleSet InUseRouteTableCannotBeDeleted "
            "NetworkSecurityGroupInUseByVirtualMachineScaleSet VnetInUse "
            "CannotDeleteLoadBalancerWithPrivateLinkService "
            "InUseNetworkSecurityGroupCannotBeDeleted"
        ),
    ),
    Rule(
        CloudError,
        "the cluster stands still after a failure, or is stopped",
        "See what it says with elastron aks status. To start it: az aks start -n NAME -g GROUP; to "
        "repair it: az aks update -n NAME -g GROUP.",
        _codes("OperationNotAllowed BadRequest"),
        r"(?:power ?state|cluster) is (?:currently )?(?:stopped|in (?:a )?failed)",
    ),
    Rule(
        CloudError,
        "address ranges overlap or do not fit",
        "Change the ranges under `network`.",
        _codes(
            "NetcfgInvalidSubnet NetcfgSubnetRangesOverlap InvalidCIDRNotation SubnetIsFull "
            "ServiceCidrOverlapExistingSubnetsCidr InvalidAddressPrefixFormat "
            "InsufficientSubnetSize"
        ),
    ),
    Rule(
        CloudError,
        "nodes cannot reach what they need",
        "A firewall or route stands between the nodes and the internet or the cluster's API: see "
        "the outbound rules that AKS needs (aka.ms/aks-required-ports-and-addresses).",
        _codes(
            "VMExtensionError_OutboundConnFail VMExtensionError_K8SAPIServerConnFail "
            "VMExtensionError_K8SAPIServerDNSLookupFail OutboundConnFailVMExtensionError "
            "VMExtensionProvisioningError"
        ),
    ),
    Rule(
        CloudError,
        "Azure does not understand the request",
        "That is a fault of ours: please report it with this message.",
        _codes(
            "InvalidTemplate InvalidRequestContent InvalidRequestFormat "
            "InvalidApiVersionParameter UnmarshalError"
        ),
    ),
    Rule(
        CloudError,
        "Azure refuses a value",
        "Change it in the description.",
        _codes("InvalidParameter InvalidParameterValue PropertyChangeNotAllowed"),
    ),
)
