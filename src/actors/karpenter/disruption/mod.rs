//! Which nodes Karpenter takes away of its own accord, and what it puts in their place: `candidates` in their order, as many
//! as `budgets` leave, where their pods would go (`simulation`), and what is done about them (`consolidation`, `balanced`).
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/controllers/disruption`; for 0.19 `deprovisioning`.

pub mod balanced;
pub mod budgets;
pub mod candidates;
pub mod consolidation;
pub mod deprovisioning;
pub mod simulation;

/// Why a node goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    Empty,
    Underutilized,
    Drifted,
    /// Its `expireAfter` has passed.
    Expired,
    /// EC2 takes the instance back.
    Interrupted,
}

impl Reason {
    pub const ALL: [Reason; 5] =
        [Reason::Empty, Reason::Underutilized, Reason::Drifted, Reason::Expired, Reason::Interrupted];
    /// Those that a disruption budget may name.
    pub const BUDGETED: [Reason; 3] = [Reason::Empty, Reason::Underutilized, Reason::Drifted];

    /// As budgets and conditions spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Empty => "Empty",
            Reason::Underutilized => "Underutilized",
            Reason::Drifted => "Drifted",
            Reason::Expired => "Expired",
            Reason::Interrupted => "Interrupted",
        }
    }
}
