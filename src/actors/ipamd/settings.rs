//! aws-node's environment, read as the real program reads it, and the limits of the instance type.

use std::collections::BTreeMap;

use crate::catalogue::InstanceType;
use crate::units::SimDuration;

/// Which release's rules hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Version {
    #[default]
    V1_23,
    V1_12,
}

/// What the node's type allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// ENIs of the default network card.
    pub max_enis: u32,
    /// Addresses of one ENI, its own primary included.
    pub ipv4_per_eni: u32,
    /// Can its ENIs hold /28 prefixes (Nitro, bare metal)?
    pub prefixes: bool,
    /// Can a trunk ENI be attached? `None`: unknown.
    pub trunking: Option<bool>,
}

impl Limits {
    /// As ipamd's own table has them; `None` where they are not known.
    pub fn of(found: &InstanceType) -> Option<Limits> {
        Some(Limits {
            max_enis: found.ipamd_max_enis?,
            ipv4_per_eni: found.ipv4_per_eni?,
            prefixes: found.supports_prefixes(),
            trunking: found.trunking,
        })
    }
}

/// Settings in force on a node.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    pub version: Version,
    pub warm_eni_target: i64,
    pub warm_ip_target: i64,
    pub minimum_ip_target: i64,
    pub warm_prefix_target: i64,
    /// /28 prefixes instead of single addresses.
    pub prefix_delegation: bool,
    pub subnet_discovery: bool,
    pub custom_networking: bool,
    /// `ENABLE_POD_ENI`: security groups for pods.
    pub pod_eni: bool,
    /// `AWS_MANAGE_ENIS_NON_SCHEDULABLE`: a cordoned node's pool is kept as any other.
    pub manages_cordoned: bool,
    /// `MANAGE_UNTAGGED_ENI`: ENIs without tags that others attach are taken for its own.
    pub manages_untagged: bool,
    /// Leaked ENIs are looked for: no `DISABLE_LEAKED_ENI_CLEANUP`.
    pub cleans_leaks: bool,
    /// How long a released address cools; `None`: not at all.
    pub cooldown: Option<SimDuration>,
    /// Usable slots of one ENI: its addresses without the primary.
    pub slots: u32,
    /// ENIs ipamd may have: MAX_ENI and the type's limit.
    pub eni_budget: u32,
    /// One slot is kept for a trunk ENI.
    pub trunk_reserve: u32,
    /// The node's capacity of pods; growth stops there.
    pub max_pods: i64,
}

/// Names that [`Settings::read`] knows.
pub const NAMES: [&str; 13] = [
    "WARM_ENI_TARGET",
    "WARM_IP_TARGET",
    "MINIMUM_IP_TARGET",
    "WARM_PREFIX_TARGET",
    "MAX_ENI",
    "ENABLE_PREFIX_DELEGATION",
    "ENABLE_SUBNET_DISCOVERY",
    "IP_COOLDOWN_PERIOD",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG",
    "ENABLE_POD_ENI",
    "AWS_MANAGE_ENIS_NON_SCHEDULABLE",
    "DISABLE_LEAKED_ENI_CLEANUP",
    "MANAGE_UNTAGGED_ENI",
];

/// Other variables of aws-node, which change neither addresses nor when they come.
pub const NAMES_WITHOUT_EFFECT: [&str; 29] = [
    "ADDITIONAL_ENI_TAGS",
    "ANNOTATE_POD_IP",
    "AWS_EC2_ENDPOINT",
    "AWS_VPC_CNI_NODE_PORT_SUPPORT",
    "AWS_VPC_ENI_MTU",
    "AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER",
    "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS",
    "AWS_VPC_K8S_CNI_EXTERNALSNAT",
    "AWS_VPC_K8S_CNI_LOGLEVEL",
    "AWS_VPC_K8S_CNI_LOG_FILE",
    "AWS_VPC_K8S_CNI_RANDOMIZESNAT",
    "AWS_VPC_K8S_CNI_VETHPREFIX",
    "AWS_VPC_K8S_PLUGIN_LOG_FILE",
    "AWS_VPC_K8S_PLUGIN_LOG_LEVEL",
    "CLUSTER_ENDPOINT",
    "DISABLE_INTROSPECTION",
    "DISABLE_METRICS",
    "DISABLE_POD_V6",
    "DISABLE_TCP_EARLY_DEMUX",
    "ENABLE_BANDWIDTH_PLUGIN",
    "ENABLE_NFTABLES",
    "ENABLE_V4_EGRESS",
    "ENABLE_V6_EGRESS",
    "ENI_CONFIG_ANNOTATION_DEF",
    "ENI_CONFIG_LABEL_DEF",
    "INTROSPECTION_BIND_ADDRESS",
    "NETWORK_POLICY_ENFORCING_MODE",
    "POD_MTU",
    "VPC_CNI_VERSION",
];

/// Variables that do change addresses or timing, and that are read nowhere here.
pub const NAMES_NOT_MODELLED: [&str; 3] =
    ["DISABLE_NETWORK_RESOURCE_PROVISIONING", "ENABLE_MULTI_NIC", "POD_SECURITY_GROUP_ENFORCING_MODE"];

impl Settings {
    /// The settings that `env` gives on a node with these limits and this capacity of pods.
    ///
    /// What does not parse has the default, as in the program; each such value adds a line to `warnings`.
    pub fn read(
        version: Version,
        env: &BTreeMap<String, String>,
        limits: Limits,
        max_pods: u32,
        warnings: &mut Vec<String>,
    ) -> Settings {
        let mut target = |name: &str, default: i64| match env.get(name) {
            None => default,
            Some(text) => match go_atoi(text) {
                Some(number) if number >= 0 => number,
                _ => {
                    warnings.push(format!(
                        "{name} = {text:?} is not a whole number of 0 or more; aws-node takes {default}"
                    ));
                    default
                }
            },
        };
        let warm_eni_target = target("WARM_ENI_TARGET", 1);
        let warm_ip_target = target("WARM_IP_TARGET", 0);
        let minimum_ip_target = target("MINIMUM_IP_TARGET", 0);
        let warm_prefix_target = target("WARM_PREFIX_TARGET", 0);
        let mut switch = |name: &str, default: bool| match env.get(name) {
            None => default,
            Some(text) => go_parse_bool(text).unwrap_or_else(|| {
                warnings
                    .push(format!("{name} = {text:?} is neither true nor false; aws-node takes {default}"));
                default
            }),
        };
        let wants_prefixes = switch("ENABLE_PREFIX_DELEGATION", false);
        let subnet_discovery = switch("ENABLE_SUBNET_DISCOVERY", true) && version == Version::V1_23;
        let custom_networking = switch("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", false);
        let pod_eni = switch("ENABLE_POD_ENI", false);
        let manages_cordoned = switch("AWS_MANAGE_ENIS_NON_SCHEDULABLE", false) && version == Version::V1_23;
        let manages_untagged = switch("MANAGE_UNTAGGED_ENI", true);
        // v1.12 had no such switch.
        let cleans_leaks = !(switch("DISABLE_LEAKED_ENI_CLEANUP", false) && version == Version::V1_23);
        if wants_prefixes && !limits.prefixes {
            warnings.push(
                "ENABLE_PREFIX_DELEGATION: the type cannot hold prefixes; aws-node uses single addresses"
                    .into(),
            );
        }
        let max_eni = env.get("MAX_ENI").and_then(|text| {
            let number = go_atoi(text);
            // 0 stands for no limit in many a manifest.
            if number.is_none_or(|number| number < 0) {
                warnings.push(format!(
                    "MAX_ENI = {text:?} is not a whole number of 1 or more; aws-node takes what the type has"
                ));
            }
            number.filter(|number| *number >= 1)
        });
        // A trunk's slot was kept on every type before v1.20.4.
        let may_trunk = limits.trunking != Some(false) || version == Version::V1_12;
        Settings {
            version,
            warm_eni_target,
            warm_ip_target,
            minimum_ip_target,
            warm_prefix_target,
            prefix_delegation: wants_prefixes && limits.prefixes,
            subnet_discovery,
            custom_networking,
            pod_eni,
            manages_cordoned,
            manages_untagged,
            cleans_leaks,
            cooldown: read_cooldown(version, env, warnings),
            slots: limits.ipv4_per_eni.saturating_sub(1),
            eni_budget: max_eni.map_or(limits.max_enis, |cap| cap.min(i64::from(limits.max_enis)) as u32),
            trunk_reserve: u32::from(pod_eni && may_trunk),
            max_pods: i64::from(max_pods),
        }
    }

    /// Do WARM_IP_TARGET and MINIMUM_IP_TARGET rule?
    pub fn ip_targets(&self) -> bool {
        self.warm_ip_target != 0 || self.minimum_ip_target != 0
    }
    /// Addresses of one CIDR.
    pub fn cidr_size(&self) -> u32 {
        if self.prefix_delegation { 16 } else { 1 }
    }
    /// Addresses of a full ENI.
    pub fn addresses_per_eni(&self) -> i64 {
        i64::from(self.slots * self.cidr_size())
    }
}

fn read_cooldown(
    version: Version,
    env: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> Option<SimDuration> {
    let standard = Some(SimDuration::from_secs(30));
    let Some(text) = env.get("IP_COOLDOWN_PERIOD").filter(|_| version == Version::V1_23) else {
        return standard;
    };
    match go_atoi(text) {
        // The program counts in nanoseconds and lets 64 bits wrap; below zero nothing cools.
        Some(seconds) => u64::try_from(seconds.wrapping_mul(1_000_000_000)).ok().map(SimDuration::from_nanos),
        None => {
            warnings.push(format!("IP_COOLDOWN_PERIOD = {text:?} is not a whole number; aws-node takes 30"));
            standard
        }
    }
}

/// Why aws-node's entrypoint would refuse to start with `env`; empty if it would not.
///
/// Source: amazon-vpc-cni-k8s, `cmd/aws-vpc-cni/main.go`, `validateEnvVars`. It compares strings, as here.
pub fn entrypoint_refusals(env: &BTreeMap<String, String>) -> Vec<String> {
    let mut refusals = Vec::new();
    let on = env.get("ENABLE_PREFIX_DELEGATION").is_some_and(|text| text == "true");
    let unset_or_zero = |name: &str| env.get(name).is_none_or(|text| text.as_str() <= "0");
    if on
        && ["WARM_PREFIX_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET"]
            .iter()
            .all(|name| unset_or_zero(name))
    {
        refusals.push(
            "ENABLE_PREFIX_DELEGATION needs WARM_PREFIX_TARGET, WARM_IP_TARGET or MINIMUM_IP_TARGET above 0, \
             without which aws-node exits: set WARM_PREFIX_TARGET = \"1\", as EKS's own manifest does"
                .into(),
        );
    }
    if let Some(text) = env.get("IP_COOLDOWN_PERIOD")
        && go_atoi(text).is_none_or(|seconds| seconds < 0)
    {
        refusals
            .push(format!("IP_COOLDOWN_PERIOD = {text:?} is not a whole number of seconds; aws-node exits"));
    }
    refusals
}

/// Go's `strconv.Atoi`: a sign or none, then ASCII digits, in 64 bits.
fn go_atoi(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Rust's parser takes the same signs and refuses what overflows.
    if plain { text.parse().ok() } else { None }
}

/// Go's `strconv.ParseBool`.
pub fn go_parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_with_two_network_cards_may_have_fewer_enis_for_ipamd() {
        let catalogue = crate::catalogue::Catalogue::compiled_in();
        let enis = |name| Limits::of(catalogue.get(catalogue.find(name).unwrap())).unwrap().max_enis;
        assert_eq!(["i7ie.48xlarge", "i8ge.metal-48xl", "i7ie.6xlarge"].map(enis), [8, 12, 8]);
    }

    #[test]
    fn numbers_and_switches_parse_as_in_go() {
        for (text, wanted) in [
            ("+3", Some(3)),
            ("007", Some(7)),
            ("-0", Some(0)),
            ("-2", Some(-2)),
            ("", None),
            (" 2", None),
            ("1.0", None),
            ("1e1", None),
            ("0x2", None),
            ("+-2", None),
            ("9223372036854775808", None),
        ] {
            assert_eq!(go_atoi(text), wanted, "{text:?}");
        }
        for (text, wanted) in
            [("T", Some(true)), ("False", Some(false)), ("yes", None), (" true", None), ("", None)]
        {
            assert_eq!(go_parse_bool(text), wanted, "{text:?}");
        }
    }

    /// Whatever aws-node passes over in silence is told.
    #[test]
    fn values_that_do_not_parse_are_warned_of() {
        let limits = Limits { max_enis: 3, ipv4_per_eni: 10, prefixes: true, trunking: Some(false) };
        let warnings = |name: &str, text: &str| {
            let mut warnings = Vec::new();
            let env = BTreeMap::from([(name.to_string(), text.to_string())]);
            Settings::read(Version::V1_23, &env, limits, 29, &mut warnings);
            warnings
        };
        for (name, text) in [
            ("WARM_IP_TARGET", "-1"),
            ("WARM_ENI_TARGET", "one"),
            ("ENABLE_SUBNET_DISCOVERY", "yes"),
            ("MAX_ENI", "-5"),
            ("MAX_ENI", "two"),
            ("IP_COOLDOWN_PERIOD", "30s"),
        ] {
            let told = warnings(name, text);
            assert!(told.len() == 1 && told[0].contains(name) && told[0].contains(text), "{told:?}");
        }
        for (name, text) in [("WARM_IP_TARGET", "0"), ("MAX_ENI", "0"), ("MAX_ENI", "2"), ("MAX_ENI", "9")] {
            assert_eq!(warnings(name, text), Vec::<String>::new(), "{name} = {text}");
        }
    }

    #[test]
    fn prefixes_without_a_target_are_refused_at_the_entrypoint() {
        let env =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let check = |pairs: &[(&str, &str)], refusals: usize| {
            assert_eq!(entrypoint_refusals(&env(pairs)).len(), refusals, "{pairs:?}");
        };
        check(&[("ENABLE_PREFIX_DELEGATION", "true")], 1);
        check(&[("ENABLE_PREFIX_DELEGATION", "true"), ("WARM_PREFIX_TARGET", "1")], 0);
        check(
            &[
                ("ENABLE_PREFIX_DELEGATION", "true"),
                ("WARM_PREFIX_TARGET", "0"),
                ("IP_COOLDOWN_PERIOD", "-1"),
            ],
            2,
        );
        check(&[("WARM_IP_TARGET", "0")], 0);
    }
}
