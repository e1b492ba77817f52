use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{BAD_INPUT, types};
use crate::actors::ipamd::{self, Limits, PoolState, Rest, Settings, Version, resting_states};
use crate::catalogue::Catalogue;

/// Show where a node's warm pool comes to rest, for each number of pods
///
/// Pods are added one at a time; EC2 answers at once and has addresses without end. Where the pool never
/// rests, its cycle is shown with the period.
///
/// Example: kilopod warm-pool m5.large --pods 0..=29 --set WARM_IP_TARGET=2
#[derive(clap::Args)]
pub struct Arguments {
    /// Instance type
    #[arg(value_name = "TYPE")]
    instance_type: String,
    /// Numbers of pods: 12, 0..=29 or 0..30; by default 0 to what max pods leaves beside aws-node and kube-proxy
    #[arg(long, value_parser = pod_range)]
    pods: Option<RangeInclusive<u32>>,
    /// A setting of aws-node
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// kubelet's maxPods; by default the type's own limit
    #[arg(long, value_name = "N")]
    max_pods: Option<u32>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// What the table does not say by itself.
fn notes(settings: &Settings, pods: u32, most: u32) -> Vec<String> {
    let mut notes = Vec::new();
    if settings.trunk_reserve > 0 {
        notes.push(format!(
            "ENABLE_POD_ENI keeps one of the {} ENIs for the trunk, so that the pool has one less; branch interfaces of pods with \
             security groups are not in the table",
            settings.eni_budget
        ));
    }
    if pods > most {
        notes.push(format!(
            "kubelet takes {most} such pods at most (max pods less two, for aws-node and kube-proxy); --max-pods raises that"
        ));
    }
    notes
}

fn pod_range(text: &str) -> Result<RangeInclusive<u32>, String> {
    let number =
        |part: &str| part.trim().parse::<u32>().map_err(|_| format!("{part:?} is not a number of pods"));
    let range = if let Some((first, last)) = text.split_once("..=") {
        number(first)?..=number(last)?
    } else if let Some((first, end)) = text.split_once("..") {
        number(first)?..=number(end)?.checked_sub(1).ok_or("0..0 holds no number of pods")?
    } else {
        number(text)?..=number(text)?
    };
    match range {
        range if range.is_empty() => Err(format!("{text} holds no number of pods")),
        range if *range.end() > 10_000 => Err("no node holds more than 10,000 pods".into()),
        range => Ok(range),
    }
}

pub fn run(arguments: &Arguments) -> u8 {
    match settings(arguments) {
        Ok((settings, warnings)) => {
            warnings.iter().for_each(|warning| say!("warning: {warning}"));
            let most = u32::try_from(settings.max_pods).unwrap_or(0).saturating_sub(2);
            let range = arguments.pods.clone().unwrap_or(0..=most);
            notes(&settings, *range.end(), most).iter().for_each(|note| say!("note: {note}"));
            let rests = rests(&settings, range);
            if arguments.json {
                return super::print_json(&rests.iter().map(as_json).collect());
            }
            super::print(&(table(&rests).to_string() + "\n"))
        }
        Err(problems) => {
            problems.iter().for_each(|problem| say!("error: {problem}"));
            BAD_INPUT
        }
    }
}

/// The settings in force and what to warn of, or all that is wrong.
fn settings(arguments: &Arguments) -> Result<(Settings, Vec<String>), Vec<String>> {
    let mut problems = Vec::new();
    let catalogue = Catalogue::compiled_in();
    let mut env = BTreeMap::new();
    for setting in &arguments.settings {
        match setting.split_once('=') {
            Some((name, value)) => {
                let name = name.strip_prefix("cni.env.").unwrap_or(name);
                if !ipamd::NAMES.contains(&name) {
                    problems
                        .push(format!("--set {setting}: {name} is not one of {}", ipamd::NAMES.join(", ")));
                }
                env.insert(name.to_string(), value.to_string());
            }
            None => problems.push(format!("--set {setting}: write it as NAME=VALUE")),
        }
    }
    problems.extend(ipamd::entrypoint_refusals(&env));
    let found = types::named(&catalogue, &arguments.instance_type)
        .and_then(|found| types::interface_limits(found).map(|_| found));
    match found {
        Ok(found) if problems.is_empty() => {
            let limits = Limits::of(found).expect("both limits are known");
            let max_pods =
                arguments.max_pods.or(found.eni_limited_max_pods()).expect("both limits are known");
            let mut warnings = Vec::new();
            Ok((Settings::read(Version::V1_23, &env, limits, max_pods, &mut warnings), warnings))
        }
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.push(problem);
            Err(problems)
        }
    }
}

/// A state that a pool comes to with so many pods, and the period (s) of the cycle that it belongs to.
type Resting = (usize, PoolState, Option<u64>);

fn rests(settings: &Settings, range: RangeInclusive<u32>) -> Vec<Resting> {
    let mut rests = Vec::new();
    for (pods, rest) in resting_states(settings, *range.end()).into_iter().enumerate() {
        if !range.contains(&(pods as u32)) {
            continue;
        }
        match rest {
            Rest::Still(state) => rests.push((pods, state, None)),
            Rest::Cycle { period, states } => {
                rests.extend(states.into_iter().map(|state| (pods, state, Some(period.millis() / 1_000))));
            }
        }
    }
    rests
}

fn as_json((pods, state, period): &Resting) -> Value {
    json!({
        "pods": pods,
        "enis": state.enis(),
        "addresses_attached": state.attached(),
        "assigned": state.assigned,
        "warm": state.warm(),
        "per_eni": state.per_eni,
        "without_address": state.waiting,
        "period_s": period,
    })
}

fn table(rests: &[Resting]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "pods",
        "ENIs",
        "addresses attached",
        "assigned",
        "warm",
        "per ENI",
        "without address",
        "period",
    ]);
    for (pods, state, period) in rests {
        table.add_row(row(*pods, state, &period.map_or(String::new(), |period| format!("{period} s"))));
    }
    for column in table.column_iter_mut().filter(|column| column.index != 5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(pods: usize, state: &PoolState, period: &str) -> [String; 8] {
    let per_eni: Vec<String> = state.per_eni.iter().map(u32::to_string).collect();
    [
        pods.to_string(),
        state.enis().to_string(),
        state.attached().to_string(),
        state.assigned.to_string(),
        state.warm().to_string(),
        per_eni.join(","),
        state.waiting.to_string(),
        period.to_string(),
    ]
}
