//! Tables of ipamd beside those of whole pools: what a reconcile makes of IMDS, settings, subnets' tags, limits of types.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kilopod::actors::ipamd::PodAddress;
use kilopod::actors::ipamd::unmanaged::{EniTags, is_unmanaged};
use kilopod::actors::ipamd::{
    Answer, Api, Ask, Attached, Call, Ipamd, Limits, Nap, Settings, SubnetView, Version, subnets_to_try,
};
use kilopod::catalogue::Catalogue;
use kilopod::input::{Document, Problems};
use kilopod::scenario;
use kilopod::units::SimTime;

/// The rows of a table, by column.
fn rows(table: &str) -> Vec<BTreeMap<String, String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(table);
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// All rows hold, or those that do not are told by name; `fault` says what is wrong with one.
fn check(table: &str, count: usize, fault: impl Fn(&BTreeMap<String, String>) -> Option<String>) {
    let rows = rows(table);
    let failed: Vec<String> =
        rows.iter().filter_map(|row| fault(row).map(|fault| format!("{}: {fault}", row["id"]))).collect();
    assert!(failed.is_empty(), "{} of {table} fail:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(rows.len(), count, "rows of {table}");
}

fn differs(got: impl ToString, stated: &str) -> Option<String> {
    let got = got.to_string();
    (got != stated).then(|| format!("{got}, stated {stated}"))
}

fn env(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

/// A node of a known type, or of one of which nothing is known but that it has so many interfaces and addresses.
fn settings(catalogue: &Catalogue, instance_type: &str, text: &str) -> Settings {
    let limits = match catalogue.find(instance_type).map(|id| catalogue.get(id)) {
        None => Limits { max_enis: 4, ipv4_per_eni: 15, prefixes: true, trunking: None },
        Some(found) => Limits::of(found).unwrap(),
    };
    Settings::read(Version::V1_23, &env(text), limits, 110, &mut Vec::new())
}

#[test]
fn settings_are_read_as_the_program_reads_them() {
    let catalogue = Catalogue::compiled_in();
    check("ipamd-settings.csv", 17, |row| {
        let settings = settings(&catalogue, &row["type"], &row["env"]);
        let got: i64 = match row["field"].as_str() {
            "warm_ip_target" => settings.warm_ip_target,
            "warm_prefix_target" => settings.warm_prefix_target,
            "minimum_ip_target" => settings.minimum_ip_target,
            "cidr_size" => settings.cidr_size().into(),
            "eni_budget" => settings.eni_budget.into(),
            "trunk_reserve" => settings.trunk_reserve.into(),
            "cleans_leaks" => settings.cleans_leaks.into(),
            "manages_untagged" => settings.manages_untagged.into(),
            other => panic!("{other} is no setting"),
        };
        differs(got, &row["value"])
    });
}

#[test]
fn invalid_combinations_are_refused() {
    check("ipamd-config.csv", 7, |row| {
        let mut text = format!(
            "target_pods = 1\nzones = [\"us-east-1a\"]\n[[subnets]]\nname = \"a\"\nzone = \"us-east-1a\"\n\
             prefix_length = 22\neni_config = {}\n",
            row["env"].contains("CUSTOM_NETWORK")
        );
        text += &format!(
            "[[deployments]]\nname = \"app\"\nreplicas = 1\ncpu = \"1\"\nmemory = \"1 GiB\"\n[[node_pools]]\n\
             name = \"default\"\ninstance_types = [\"{}\"]\n[cni]\nmax_pods = 20\n[cni.env]\n",
            row["type"]
        );
        env(&row["env"]).iter().for_each(|(name, value)| text += &format!("{name} = \"{value}\"\n"));
        let mut problems = Problems::default();
        let document = Document::parse("case.toml", &text, &mut problems);
        assert!(problems.is_empty(), "{text}");
        let read = scenario::read(&document, "case", Path::new("."), &Arc::new(Catalogue::compiled_in()));
        differs(if read.is_ok() { "yes" } else { "no" }, &row["valid"])
    });
}

/// Clusters of `own:1:X:Y`, from the third part on.
fn clusters(subnet: &str) -> Vec<String> {
    subnet.split(':').skip(2).map(str::to_owned).collect()
}
fn view<'a>(subnet: &'a str, clusters: &'a [String]) -> SubnetView<'a> {
    let mut parts = subnet.split(':');
    let own = parts.next() == Some("own");
    let role_cni = parts.next().filter(|value| *value != "empty").unwrap_or("");
    SubnetView { free: 100, own, role_cni, clusters }
}

#[test]
fn tags_say_which_subnets_are_not_for_pods() {
    check("subnet-excluded.csv", 5, |row| {
        let clusters = clusters(&row["subnet"]);
        let cluster = Some(row["cluster"].as_str()).filter(|name| !name.is_empty());
        let excluded = view(&row["subnet"], &clusters).is_excluded(cluster);
        differs(if excluded { "yes" } else { "no" }.to_owned(), &row["excluded"])
    });
}

#[test]
fn tags_say_which_subnets_are_tried() {
    check("subnet-tags.csv", 14, |row| {
        let subnets: Vec<&str> = row["subnets"].split_whitespace().collect();
        let clusters: Vec<Vec<String>> = subnets.iter().map(|subnet| clusters(subnet)).collect();
        let views: Vec<SubnetView> =
            subnets.iter().zip(&clusters).map(|(subnet, clusters)| view(subnet, clusters)).collect();
        let cluster = Some(row["cluster"].as_str()).filter(|name| !name.is_empty());
        let tried = subnets_to_try(&views, row["discovery"] == "yes", cluster);
        differs(tried.iter().map(usize::to_string).collect::<Vec<_>>().join(" "), &row["tried"])
    });
}

#[test]
fn types_have_the_published_interfaces_and_pods() {
    let catalogue = Catalogue::compiled_in();
    check("max-pods.csv", 27, |row| {
        let found = catalogue.get(catalogue.find(&row["instance_type"]).unwrap());
        let got = [found.max_enis, found.ipv4_per_eni, found.eni_limited_max_pods()].map(Option::unwrap);
        let stated: [u32; 3] =
            ["enis", "ipv4_per_eni", "max_pods"].map(|column| row[column].parse().unwrap());
        differs(format!("{got:?}"), &format!("{stated:?}"))
    });
}

#[test]
fn tags_say_which_enis_are_left_alone() {
    check("ipamd-unmanaged.csv", 9, |row| {
        let unmanaged = row["enis"].split(' ').filter_map(|eni| {
            let (name, tag) = eni.split_once(':').unwrap_or((eni, ""));
            let tags = EniTags {
                no_manage: tag.strip_prefix("no_manage="),
                own: tag.strip_prefix("owner=") == Some("this"),
            };
            is_unmanaged(tags, name == "e1", row["manage_untagged"] == "true").then_some(name)
        });
        differs(unmanaged.collect::<Vec<_>>().join(" "), &row["unmanaged"])
    });
}

/// A process starts where one has run: its calls of EC2 that bring addresses, and the pool once it serves.
#[test]
fn a_restarted_process_takes_up_what_is_there() {
    let limits = Limits { max_enis: 4, ipv4_per_eni: 15, prefixes: true, trunking: None };
    check("ipamd-restart.csv", 6, |row| {
        let settings = Settings::read(Version::V1_23, &env(&row["env"]), limits, 500, &mut Vec::new());
        let counts = row["attached"].split(' ').map(|count| count.parse::<u32>().unwrap()).zip(0..);
        let enis: Vec<(u32, Vec<u32>)> =
            counts.map(|(count, eni)| (eni, (100 * eni..100 * eni + count).collect())).collect();
        let address = PodAddress { eni: 0, cidr: 0 };
        let pods =
            if row["pods"] == "0" { Vec::new() } else { vec![(address, row["pods"].parse().unwrap())] };
        let mut machine = Ipamd::recover(&settings, Attached { enis, pods, ..Attached::default() });
        let (mut answer, mut calls) = (Answer::Start, Vec::new());
        while !machine.serves() {
            answer = match machine.resume(&settings, answer, SimTime::ZERO, &mut || 0.0) {
                Ask::Call(Call { api, count, .. }) if api.counts() => {
                    calls.push(format!("{} {count}", api.name()));
                    Answer::Granted { first_cidr: 1_000 }
                }
                Ask::Call(Call { api: Api::DescribeSubnets, eni, .. })
                    if row["excluded"] == eni.to_string() =>
                {
                    Answer::Excluded
                }
                Ask::Call(_) => Answer::Done,
                _ => Answer::Woken,
            };
        }
        let counts = machine.pool().counts(SimTime::ZERO);
        let got = format!("{} {} {}", counts.total, counts.assigned, calls.join(", "));
        differs(got, &format!("{} {} {}", row["total"], row["assigned"], row["calls"]))
    });
}

/// CIDRs by ENI: the first ones it has, then others, which it never had.
fn cidrs(known: &[Vec<u32>], eni: u32, count: usize) -> Vec<u32> {
    let known = known.get(eni as usize).into_iter().flatten().copied();
    known.chain(1_000 * (eni + 1)..).take(count).collect()
}

/// A node with so many CIDRs on its ENIs, driven up to a reconcile's look at IMDS.
struct Node {
    settings: Settings,
    machine: Ipamd,
    now: SimTime,
    known: Vec<Vec<u32>>,
}

impl Node {
    fn with(before: &[usize], prefixes: bool) -> Node {
        let on_second = before.len() > 1;
        let target = before[before.len() - 1] * if prefixes { 16 } else { 1 };
        let mut text =
            format!("MINIMUM_IP_TARGET={target} WARM_ENI_TARGET=0 ENABLE_PREFIX_DELEGATION={prefixes}");
        text += if on_second { " AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true" } else { "" };
        let settings = settings(&Catalogue::compiled_in(), "", &text);
        let machine = Ipamd::new(&settings);
        let mut node = Node { settings, machine, now: SimTime::ZERO, known: vec![Vec::new()] };
        let mut ask = node.resume(Answer::Start);
        let mut next = 1;
        while ask != Ask::ReadImds {
            ask = match ask {
                Ask::Nap(_, span) => {
                    node.now += span;
                    node.resume(Answer::Woken)
                }
                Ask::AwaitEni(_) => node.resume(Answer::ShowsAt(node.now)),
                // Without a target nothing is to be had, so that the primary ENI stays empty.
                Ask::Call(call) if call.api.counts() && target == 0 => node.resume(Answer::Insufficient),
                Ask::Call(call) if call.api.counts() => {
                    let first_cidr = next;
                    next += call.count;
                    let new = call.api == Api::CreateNetworkInterface;
                    let eni = if new { node.known.len() as u32 } else { call.eni };
                    node.known.resize(node.known.len().max(eni as usize + 1), Vec::new());
                    node.known[eni as usize].extend(first_cidr..next);
                    node.resume(if new {
                        Answer::Created { eni, first_cidr }
                    } else {
                        Answer::Granted { first_cidr }
                    })
                }
                Ask::Call(_) => node.resume(Answer::Done),
                Ask::ReadImds | Ask::Exit(_) => panic!("{ask:?} before the reconcile"),
            };
        }
        node
    }
    fn resume(&mut self, answer: Answer<'_>) -> Ask {
        self.machine.resume(&self.settings, answer, self.now, &mut || 0.0)
    }
    fn addresses(&self) -> Vec<u32> {
        self.machine.pool().addresses_per_eni().collect()
    }
}

fn numbers(text: &str) -> Vec<usize> {
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn a_reconcile_believes_imds_or_asks_ec2() {
    check("ipamd-reconcile.csv", 18, |row| {
        let prefixes = row["prefixes"] == "yes";
        let before = numbers(&row["before"]);
        let mut node = Node::with(&before, prefixes);
        let unit = if prefixes { 16 } else { 1 };
        let begun: Vec<usize> = node.addresses().iter().map(|count| (count / unit) as usize).collect();
        assert_eq!(begun, before, "{}", row["id"]);
        let listed = if row["imds"] == "none" { Vec::new() } else { numbers(&row["imds"]) };
        let view: Vec<(u32, Vec<u32>)> =
            (0u32..).zip(&listed).map(|(eni, count)| (eni, cidrs(&node.known, eni, *count))).collect();
        let mut asked = false;
        let mut ask = node.resume(Answer::View(&view));
        while let Ask::Call(call) = ask {
            asked |= call.api == Api::DescribeNetworkInterfaces;
            let of_one = call.api == Api::DescribeNetworkInterfaces && call.eni != Call::ALL_ENIS;
            ask = match row["ec2"].parse() {
                _ if !of_one => node.resume(Answer::Done),
                Ok(count) => {
                    let there = [(call.eni, cidrs(&node.known, call.eni, count))];
                    node.resume(Answer::View(&there))
                }
                Err(_) => node.resume(Answer::Failed),
            };
        }
        assert!(matches!(ask, Ask::Nap(Nap::BeforeStep, _)), "{}: {ask:?}", row["id"]);
        let after: Vec<String> = node.addresses().iter().map(u32::to_string).collect();
        differs(after.join(" "), &row["after"]).or_else(|| {
            differs(
                if asked { "EC2 asked: yes" } else { "EC2 asked: no" },
                &format!("EC2 asked: {}", row["asked"]),
            )
        })
    });
}

/// T21-10 (TestFreeENI*): what EC2 does not describe is not detached; the store has let go of it all the same.
#[test]
fn an_eni_that_cannot_be_described_is_not_detached() {
    let mut node = Node::with(&[0, 14], false);
    let text = "WARM_ENI_TARGET=0 AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true";
    node.settings = settings(&Catalogue::compiled_in(), "", text);
    let mut ask = node.resume(Answer::ImdsAgrees);
    while !matches!(ask, Ask::Call(_)) {
        ask = match ask {
            Ask::Nap(_, span) => {
                node.now += span;
                node.resume(Answer::Woken)
            }
            _ => node.resume(Answer::ImdsAgrees),
        };
    }
    assert!(matches!(ask, Ask::Call(Call { api: Api::DescribeNetworkInterfaces, eni: 1, .. })), "{ask:?}");
    assert!(matches!(node.resume(Answer::Failed), Ask::Nap(Nap::BeforeReconcile, _)));
    assert_eq!(node.addresses(), [0]);
}

/// T10-8 and T10-9 (TestReconcileCooldownCache_*): a CIDR that was just returned is not taken back, though IMDS and EC2
/// still list it; one that never was is.
#[test]
fn a_returned_address_is_not_taken_back_at_once() {
    let mut node = Node::with(&[2], false);
    // With a trunk to come every turn reconciles.
    node.settings = settings(&Catalogue::compiled_in(), "", "WARM_IP_TARGET=1 ENABLE_POD_ENI=true");
    let mut ask = node.resume(Answer::ImdsAgrees);
    let mut returned = Vec::new();
    while ask != Ask::ReadImds || returned.is_empty() {
        ask = match ask {
            Ask::Nap(_, span) => {
                node.now += span;
                node.resume(Answer::Woken)
            }
            Ask::Call(call) => {
                assert_eq!((call.api, call.count), (Api::UnassignPrivateIpAddresses, 1));
                returned = node.machine.unassigning().to_vec();
                node.resume(Answer::Done)
            }
            _ => node.resume(Answer::ImdsAgrees),
        };
    }
    assert_eq!((returned.len(), node.addresses()), (1, vec![1]));
    let stale = [(0, node.known[0].clone())];
    assert!(matches!(node.resume(Answer::View(&stale)), Ask::Call(_)), "EC2 is asked");
    assert!(matches!(node.resume(Answer::View(&stale)), Ask::Nap(..)));
    assert_eq!(node.addresses(), [1]);
    // The same turn with an address that nobody returned.
    let more = [(0, [node.known[0].clone(), vec![7_000]].concat())];
    let mut ask = Ask::Nap(Nap::BeforeStep, kilopod::units::SimDuration::ZERO);
    while ask != Ask::ReadImds {
        let Ask::Nap(_, span) = ask else { panic!("{ask:?}") };
        node.now += span;
        ask = node.resume(Answer::Woken);
    }
    node.resume(Answer::View(&more));
    node.resume(Answer::View(&more));
    assert_eq!(node.addresses(), [2]);
}
