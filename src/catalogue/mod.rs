//! Instance types, prices and spot bands: `models/` compiled in, or a user's own file.

mod csv_file;
pub mod distribution_text;
pub mod instance_type;
pub mod latency;
mod volume_slots;

use std::collections::BTreeMap;

pub use csv_file::FileProblem;
pub use instance_type::{Architecture, Hypervisor, InstanceType, SpotAdvice};
pub use latency::{Grade, Latency, LatencyModel, LatencyModels};
pub use volume_slots::{VolumeSlots, volume_slots};

/// An instance type, by its place in the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TypeId(pub u32);

impl TypeId {
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// All instance types, in order of name.
#[derive(Clone, PartialEq, Debug)]
pub struct Catalogue {
    types: Vec<InstanceType>,
    by_name: BTreeMap<String, TypeId>,
    /// Where the figures come from and of what date; goes into the manifest.
    pub source: String,
}

impl Catalogue {
    /// The source of the catalogue built into the program.
    pub const BUILT_IN: &'static str = "models/instance-types/instance-types.csv";
    /// The one region that it knows prices and spot bands of.
    pub const REGION: &'static str = "us-east-1";

    /// Sorts the types by name.
    ///
    /// # Panics
    /// If two have the same name; a reader of files checks that before.
    pub fn new(mut types: Vec<InstanceType>, source: String) -> Self {
        types.sort_by(|a, b| a.name.cmp(&b.name));
        let by_name: BTreeMap<_, _> =
            types.iter().enumerate().map(|(i, t)| (t.name.clone(), TypeId(i as u32))).collect();
        assert_eq!(by_name.len(), types.len(), "two instance types have the same name");
        Catalogue { types, by_name, source }
    }
    /// The catalogue built into the program: us-east-1, prices of 20 July 2026.
    ///
    /// # Panics
    /// Never: a test reads the same text.
    pub fn compiled_in() -> Self {
        let text = include_str!("../../models/instance-types/instance-types.csv");
        let origin = Catalogue::BUILT_IN;
        Catalogue::from_csv(text, origin).unwrap_or_else(|problems| panic!("{origin}: {problems:?}"))
    }
    /// A catalogue in the columns of `models/instance-types/`; only `instance_type` is a must.
    ///
    /// # Errors
    /// Every problem of the file, each with its line, column and value.
    pub fn from_csv(text: &str, origin: &str) -> Result<Self, Vec<FileProblem>> {
        Ok(Catalogue::new(csv_file::read(text)?, origin.to_string()))
    }
    pub fn types(&self) -> &[InstanceType] {
        &self.types
    }
    pub fn get(&self, id: TypeId) -> &InstanceType {
        &self.types[id.index()]
    }
    pub fn find(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_catalogue_knows_m5_large() {
        let catalogue = Catalogue::compiled_in();
        assert_eq!(catalogue.types().len(), 1460);
        let m5_large = catalogue.get(catalogue.find("m5.large").unwrap());
        assert_eq!((m5_large.vcpus, m5_large.memory_mib), (Some(2), Some(8192)));
        assert_eq!(m5_large.eni_limited_max_pods(), Some(29));
        assert_eq!(m5_large.on_demand_usd_per_hour, Some(0.096));
        assert_eq!(m5_large.spot.unwrap().savings_pct, 66);
        assert!(m5_large.supports_prefixes() && m5_large.complete);
        assert_eq!(catalogue.types().iter().filter(|t| t.complete).count(), 1353);
    }

    #[test]
    fn a_users_file_is_refused_with_all_its_problems() {
        let text = "instance_type,vcpus,hypervisor\nmy.large,two,nitro\nmy.large,2,cloud\n,2,xen\n";
        let problems = Catalogue::from_csv(text, "types.csv").unwrap_err();
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 4, "{shown:#?}");
        assert!(shown[0].contains("line 2") && shown[0].contains("vcpus") && shown[0].contains("two"));
        assert!(Catalogue::from_csv("instance_type,colour\nmy.large,red\n", "types.csv").is_err());
    }
}
