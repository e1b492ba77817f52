//! Names of entities: `u32` indices into vectors. A dead entity keeps its slot.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u32);
        impl $name {
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// A pod of a Deployment, in order of creation.
    PodId
);
id!(
    /// A node: a NodeClaim from its creation on, or one that was there at the start.
    NodeId
);
id!(
    /// A subnet, in the order of the scenario.
    SubnetId
);
id!(
    /// A Deployment, in the order of the scenario.
    DeploymentId
);
