//! Which ENIs of its instance ipamd leaves alone: it counts them against the type's limit and looks at them no further.
//!
//! Source: amazon-vpc-cni-k8s v1.23.1, `pkg/ipamd/ipamd.go`: `setUnmanagedENIs`, `filterUnmanagedENIs`.

/// What of an ENI's tags decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EniTags<'a> {
    /// `node.k8s.amazonaws.com/no_manage`
    pub no_manage: Option<&'a str>,
    /// Does `node.k8s.amazonaws.com/instance_id` name this instance? So of what its ipamd made.
    pub own: bool,
}

/// Is the ENI left alone? `manages_untagged` is `MANAGE_UNTAGGED_ENI`; the primary ENI never is.
pub fn is_unmanaged(tags: EniTags<'_>, primary: bool, manages_untagged: bool) -> bool {
    let managed = match tags.no_manage {
        Some(value) => value != "true",
        None => tags.own || manages_untagged,
    };
    !managed && !primary
}
