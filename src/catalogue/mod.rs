//! Instance types, prices and spot bands: `models/` compiled in, or a user's own file.

pub mod instance_type;
pub mod latency;

use std::collections::BTreeMap;

pub use instance_type::{Architecture, Hypervisor, InstanceType, SpotAdvice};
pub use latency::{Grade, Latency, LatencyModel, LatencyModels};

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
