//! What the EBS CSI driver tells of its node in CSINode: how many volumes may be attached to it.
//!
//! It counts once, as it starts: interfaces that come later take slots of a node whose limit stays.
//! Source: kubernetes-sigs/aws-ebs-csi-driver v1.64.0, `pkg/driver/node.go`, `getVolumesLimit`.

use crate::catalogue::VolumeSlots;

/// The driver's flags for nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EbsCsiSettings {
    /// `--volume-attach-limit`: the limit of every node, whatever its type.
    pub volume_attach_limit: Option<u32>,
    /// `--reserved-volume-attachments`; `None`: the root volume and others that the instance has as the driver starts.
    pub reserved_volume_attachments: Option<u32>,
}

impl EbsCsiSettings {
    /// The limit of an instance that has so many interfaces and volumes of its own. At least 1, since none at all would count
    /// as no limit.
    pub fn limit(&self, slots: VolumeSlots, interfaces: u32, own_volumes: u32) -> u32 {
        if let Some(limit) = self.volume_attach_limit {
            return limit;
        }
        let reserved = self.reserved_volume_attachments.unwrap_or(own_volumes);
        let further = if slots.shared { interfaces.saturating_sub(1) } else { 0 };
        slots.attachments.saturating_sub(reserved + further).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_take_slots_only_where_they_are_shared() {
        let standard = EbsCsiSettings::default();
        let slots = |attachments, shared| VolumeSlots { attachments, shared };
        // (type's slots, interfaces, own volumes) -> limit
        for (slots, interfaces, own, limit) in [
            (slots(27, true), 1, 1, 26),
            (slots(27, true), 3, 1, 24),
            (slots(27, true), 3, 2, 23),
            (slots(32, false), 3, 1, 31),
            (slots(39, false), 8, 1, 38),
            (slots(11, true), 15, 1, 1),
        ] {
            assert_eq!(standard.limit(slots, interfaces, own), limit, "{slots:?} {interfaces} {own}");
        }
        let reserves = EbsCsiSettings { reserved_volume_attachments: Some(4), ..standard };
        assert_eq!(reserves.limit(slots(27, true), 2, 1), 22);
        let says = EbsCsiSettings { volume_attach_limit: Some(15), ..standard };
        assert_eq!(says.limit(slots(27, true), 2, 1), 15);
    }
}
