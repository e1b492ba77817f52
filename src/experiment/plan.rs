//! An experiment resolved: every design point written out before anything runs.

use crate::scenario::Scenario;

/// A factor as written.
#[derive(Clone, PartialEq, Debug)]
pub struct Factor {
    pub name: String,
    /// The dotted keys its levels set (`cni.env.WARM_IP_TARGET`), in order of first mention.
    pub keys: Vec<String>,
    pub levels: Vec<Level>,
}

/// One level: a label and what it sets.
#[derive(Clone, PartialEq, Debug)]
pub struct Level {
    pub label: String,
    /// (dotted key, value as text).
    pub settings: Vec<(String, String)>,
}

/// A design point.
#[derive(Clone, Debug)]
pub struct Cell {
    /// From 1; written `c0001`.
    pub number: u32,
    /// The label of each factor's level.
    pub labels: Vec<String>,
    /// The value of each key of each factor ([`Plan::factors`] in order); empty where the level does not set it.
    pub values: Vec<Option<String>>,
    pub scenario: Scenario,
}

impl Cell {
    pub fn id(&self) -> String {
        format!("c{:04}", self.number)
    }
}

/// All cells and how often each is run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    pub factors: Vec<Factor>,
    pub cells: Vec<Cell>,
    pub replications: u32,
    pub seed: u64,
    /// The resolved input as TOML, itself a valid experiment; goes into the manifest.
    pub resolved: String,
    /// Things the user should know (a value that aws-node falls back from), to be shown before the run.
    pub warnings: Vec<String>,
}
