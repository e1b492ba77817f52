//! What the tables need to know of a plan: kept beside a shard's cells, so that shards can be merged without the plan.

use super::design::Plan;
use super::sweep::cell_keys;
use crate::input::ordered_toml;
use crate::results::RESULTS_VERSION;
use crate::results::tables::CellKeys;

/// A plan without its scenarios.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Meta {
    pub plan_id: String,
    pub results_version: u32,
    pub name: String,
    /// As text: not every reader of JSON keeps 64 bits.
    pub seed: String,
    pub replications: u32,
    /// Where cells stop when they are known well enough: how well, and the column of `cells.csv`.
    pub precision: Option<(String, String)>,
    /// As [`Plan::bases`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bases: Option<Vec<Option<u32>>>,
    pub horizon_ms: u64,
    pub target_pods: u32,
    pub cell_ids: Vec<String>,
    /// By cell: the factors' labels.
    pub labels: Vec<Vec<String>>,
    pub factors: Vec<String>,
    pub catalogue: Option<String>,
    pub keys: CellKeys,
    /// The input with everything laid over it, itself the experiment of this plan where it is kept in a file of its name.
    pub input: String,
}

/// With its keys as they were written: columns have their order.
fn in_order(plan: &Plan) -> String {
    let resolved: toml::Table = plan.resolved.parse().expect("it was written as TOML");
    ordered_toml(&resolved, &plan.document.root)
}

/// The file that an experiment of this name is kept in, as typed in a shell. An experiment that does not say its name has its
/// file's.
pub(super) fn file_of(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !name.starts_with('-') && name.chars().all(is_plain) {
        true => format!("{name}.toml"),
        false => format!("'./{}.toml'", name.replace('\'', r"'\''")),
    }
}

impl Meta {
    pub fn of(plan: &Plan) -> Meta {
        let first = plan.cells.first().map(|cell| &cell.scenario);
        Meta {
            plan_id: plan.id.clone(),
            results_version: RESULTS_VERSION,
            name: plan.name.clone(),
            seed: plan.seed.to_string(),
            replications: plan.replications,
            precision: plan
                .precision
                .as_ref()
                .map(|precision| (precision.target_text(), precision.of.column())),
            bases: plan.bases.clone(),
            horizon_ms: first.map_or(0, |scenario| scenario.horizon.millis()),
            target_pods: first.map_or(0, |scenario| scenario.target_pods),
            cell_ids: plan.cells.iter().map(super::design::Cell::id).collect(),
            labels: plan.cells.iter().map(|cell| cell.labels.clone()).collect(),
            factors: plan.factors.iter().map(|factor| factor.name.clone()).collect(),
            catalogue: first.map(|scenario| scenario.catalogue.source.clone()),
            keys: cell_keys(plan),
            input: in_order(plan),
        }
    }
}

/// One of `of` parts of a plan's cells: every `of`-th, from the `index`-th on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    pub index: u32,
    pub of: u32,
}

impl Shard {
    /// `0/4`; the first number counts from 0.
    ///
    /// # Errors
    /// If it is not such a pair.
    pub fn parse(text: &str) -> Result<Shard, String> {
        let pair = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match pair {
            Some((index, of)) if index < of => Ok(Shard { index, of }),
            _ => Err(format!("{text:?} is no shard: 0/4 is the first of four, 3/4 the last")),
        }
    }
    pub fn has(&self, cell: usize) -> bool {
        cell as u64 % u64::from(self.of) == u64::from(self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_as_a_shell_takes_it() {
        let named = ["thousand-pods", "v1.2", "my pods", "it's", "-x"].map(file_of);
        assert_eq!(
            named,
            ["thousand-pods.toml", "v1.2.toml", "'./my pods.toml'", r"'./it'\''s.toml'", "'./-x.toml'"]
        );
    }

    #[test]
    fn shards_count_from_0_and_share_all_cells() {
        assert!(Shard::parse("4/4").is_err() && Shard::parse("1").is_err() && Shard::parse("a/b").is_err());
        let shards: Vec<Shard> =
            ["0/3", "1/3", "2/3"].iter().map(|text| Shard::parse(text).unwrap()).collect();
        assert!((0..100).all(|cell| shards.iter().filter(|shard| shard.has(cell)).count() == 1));
    }
}
