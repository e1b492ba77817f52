//! `[[subnets]]`: where nodes and pods have their addresses, and who else uses them.

use super::checked::*;
use crate::input::{Origin, Problems, Section, Value};
use crate::units::{SimDuration, SimTime};

const ROLE_CNI: &str = "kubernetes.io/role/cni";
const CLUSTER: &str = "cni.networking.k8s.aws/cluster/";

/// `[[subnets]]`, or one a zone of `subnet_prefix_length` (21). `used_addresses` and `[[neighbours]]` hold for each subnet
/// that does not say otherwise, or more. The control plane's four interfaces are spread over those
/// for nodes in turn.
pub(super) fn read(root: &mut Section<'_>, zones: &[String], problems: &mut Problems) -> Vec<SubnetSpec> {
    let length = root.whole("subnet_prefix_length", 16, 28, problems).unwrap_or(21) as u8;
    let interfaces = root.whole("control_plane_interfaces", 0, 10, problems).unwrap_or(4);
    let used = root.whole("used_addresses", 0, 65_536, problems).unwrap_or(0);
    if zones.is_empty() {
        problems.add(root.origin_of("zones"), "zones", "a cluster needs a zone", None);
    }
    let neighbours: Vec<OtherUser> = root
        .sections("neighbours", problems)
        .unwrap_or_default()
        .into_iter()
        .map(|entry| other_user(entry, problems))
        .collect();
    let plain = |name: String, zone: u32, prefix_length: u8| SubnetSpec {
        name,
        zone,
        prefix_length,
        used_addresses: used,
        control_plane_interfaces: 0,
        reserved_prefixes: 0,
        nodes: true,
        role_cni: String::new(),
        clusters: Vec::new(),
        eni_config: false,
        others: neighbours.clone(),
    };
    let mut read: Vec<SubnetSpec> = match root.sections("subnets", problems) {
        None => {
            let name = |zone: &String| format!("subnet-{}", zone.chars().last().unwrap_or('x'));
            zones.iter().zip(0..).map(|(zone, at)| plain(name(zone), at, length)).collect()
        }
        Some(sections) => {
            let mut read = Vec::new();
            let mut cidrs: Vec<Cidr> = Vec::new();
            for (mut section, index) in sections.into_iter().zip(0..) {
                let name = section.text("name", problems).unwrap_or_else(|| format!("subnet-{}", index + 1));
                let zone = zone(&mut section, zones, problems);
                let mut subnet = plain(name, zone, length);
                fill(&mut section, &mut subnet, &mut cidrs, problems);
                section.finish(problems);
                read.push(subnet);
            }
            read
        }
    };
    let of = read.iter().filter(|subnet| subnet.nodes).count() as u32;
    for (subnet, index) in read.iter_mut().filter(|subnet| subnet.nodes).zip(0..) {
        subnet.control_plane_interfaces = interfaces / of + u32::from(index < interfaces % of);
    }
    read
}

/// A subnet's block, and where it was written.
struct Cidr {
    base: u32,
    length: u8,
    text: String,
    key: String,
    origin: Origin,
}

impl Cidr {
    fn overlaps(&self, other: &Cidr) -> bool {
        let shift = 32 - self.length.min(other.length);
        self.base >> shift == other.base >> shift
    }
}

fn zone(section: &mut Section<'_>, zones: &[String], problems: &mut Problems) -> u32 {
    let zone = section.text("zone", problems);
    let at = zone.as_ref().and_then(|zone| zones.iter().position(|known| known == zone));
    if at.is_none() {
        let what = format!("{:?} is not one of the zones {}", zone.unwrap_or_default(), zones.join(", "));
        problems.add(section.origin_of("zone"), &section.key("zone"), what, None);
    }
    at.unwrap_or(0) as u32
}

fn fill(section: &mut Section<'_>, subnet: &mut SubnetSpec, cidrs: &mut Vec<Cidr>, problems: &mut Problems) {
    if let Some(length) = section.whole("prefix_length", 16, 28, problems) {
        subnet.prefix_length = length as u8;
    }
    if let Some(cidr) = section.text("cidr", problems) {
        match parse_cidr(&cidr) {
            Err(what) => problems.add(section.origin_of("cidr"), &section.key("cidr"), what, None),
            Ok((base, length)) => {
                subnet.prefix_length = length;
                let own = Cidr {
                    base,
                    length,
                    text: cidr,
                    key: section.key("cidr"),
                    origin: section.origin_of("cidr").clone(),
                };
                if let Some(other) = cidrs.iter().find(|other| own.overlaps(other)) {
                    // What was typed met a file that was right before.
                    let (odd, met) = match other.origin.is_typed() && !own.origin.is_typed() {
                        true => (other, &own),
                        false => (&own, other),
                    };
                    let what = format!("{} overlaps {}, which is {}", odd.text, met.text, met.key);
                    problems.add(&odd.origin, &odd.key, what, None);
                }
                cidrs.push(own);
            }
        }
    }
    let explicit = section.whole("reserved_addresses", 0, 65_536, problems).unwrap_or(0);
    let used = section.whole("used_addresses", 0, 65_536, problems).unwrap_or(subnet.used_addresses);
    subnet.used_addresses = used + explicit;
    subnet.reserved_prefixes = section.whole("reserved_prefixes", 0, 4_094, problems).unwrap_or(0);
    let blocks = (1u32 << (28u8.saturating_sub(subnet.prefix_length))).saturating_sub(2);
    if subnet.reserved_prefixes > blocks {
        let what = format!("a /{} has {blocks} blocks of /28 to reserve", subnet.prefix_length);
        problems.add(section.origin_of("reserved_prefixes"), &section.key("reserved_prefixes"), what, None);
        subnet.reserved_prefixes = 0;
    }
    subnet.nodes = section.flag("nodes", problems).unwrap_or(true);
    subnet.eni_config = section.flag("eni_config", problems).unwrap_or(false);
    tags(section, subnet, problems);
    for entry in section.sections("others", problems).unwrap_or_default() {
        subnet.others.push(other_user(entry, problems));
    }
}

/// `{ at = "60 s", addresses = 20, every = "30 s", lasts = "5 min" }`
fn other_user(mut entry: Section<'_>, problems: &mut Problems) -> OtherUser {
    let other = OtherUser {
        at: SimTime::ZERO + entry.span("at", problems).unwrap_or(SimDuration::ZERO),
        addresses: entry.whole("addresses", 1, 65_536, problems).unwrap_or(1),
        every: entry.span("every", problems),
        lasts: entry.span("lasts", problems),
    };
    if other.every.is_some_and(|every| every < SimDuration::from_secs(1)) {
        problems.add(
            entry.origin_of("every"),
            &entry.key("every"),
            "at least 1 s lies between two lots",
            None,
        );
    }
    entry.finish(problems);
    other
}

/// `tags = { "kubernetes.io/role/cni" = "1" }`
fn tags(section: &mut Section<'_>, subnet: &mut SubnetSpec, problems: &mut Problems) {
    let Some(mut tags) = section.section("tags", problems) else { return };
    for (name, node) in tags.all() {
        let Value::Text(value) = &node.value else {
            problems.add(
                &node.origin,
                &tags.key(name),
                "the value of a tag is text",
                Some("put it in quotes".into()),
            );
            continue;
        };
        if name == ROLE_CNI {
            subnet.role_cni = value.clone();
        } else if let Some(cluster) = name.strip_prefix(CLUSTER) {
            subnet.clusters.push(cluster.to_owned());
        } else {
            let what = format!("{name} is not a tag that aws-node reads");
            problems.add(
                &node.origin,
                &tags.key(name),
                what,
                Some(format!("it reads {ROLE_CNI} and {CLUSTER}...")),
            );
        }
    }
}

/// `10.0.0.0/21`: the base as a number, and the length.
fn parse_cidr(text: &str) -> Result<(u32, u8), String> {
    let wrong = || format!("{text:?} is not a CIDR block such as 10.0.0.0/21");
    let (base, length) = text.split_once('/').ok_or_else(wrong)?;
    let base: std::net::Ipv4Addr = base.parse().map_err(|_| wrong())?;
    let length: u8 = length.parse().map_err(|_| wrong())?;
    if !(16..=28).contains(&length) {
        return Err(format!("{text}: subnets have lengths of 16 to 28"));
    }
    let base = u32::from(base);
    if base & ((1u32 << (32 - length)) - 1) != 0 {
        return Err(format!("{text}: a block of /{length} does not begin there"));
    }
    Ok((base, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_of_a_length_that_ec2_has() {
        assert_eq!(parse_cidr("100.64.0.0/16").unwrap(), (0x6440_0000, 16));
        for wrong in ["10.0.0.0", "10.0.0.0/15", "10.0.1.0/21", "10.0.0/24", "a/24"] {
            assert!(parse_cidr(wrong).is_err(), "{wrong}");
        }
    }

    /// Of two blocks that overlap the one that was typed is told, not the file's that was right without it.
    #[test]
    fn overlapping_blocks_are_told_where_one_of_them_was_set() {
        let text = "[[subnets]]\nzone = \"a\"\ncidr = \"10.0.0.0/24\"\n[[subnets]]\nzone = \"a\"\ncidr = \"10.0.1.0/24\"\n";
        let told = |text: &str, setting: Option<&str>| {
            let mut problems = Problems::default();
            let mut document = crate::input::Document::parse("a.toml", text, &mut problems);
            setting.into_iter().for_each(|setting| document.set(setting, &mut problems));
            let mut root = Section::new(&document.root, "", &mut problems);
            read(&mut root, &["a".to_string()], &mut problems);
            let told = problems.into_vec();
            told.into_iter().map(|problem| (problem.place, problem.what)).collect::<Vec<_>>()
        };
        assert_eq!(told(text, None), []);
        let of_file = told(&text.replace("10.0.1.0", "10.0.0.0"), None);
        let what = |which: &str| format!("10.0.{which}.0/24 overlaps 10.0.{which}.0/24, which is");
        assert_eq!(of_file, [("a.toml:6:1".to_string(), format!("{} subnets[0].cidr", what("0")))]);
        let setting = "subnets.0.cidr=10.0.1.0/24";
        let typed = told(text, Some(setting));
        assert_eq!(typed, [(format!("--set {setting}"), format!("{} subnets[1].cidr", what("1")))]);
    }
}
