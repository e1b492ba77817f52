//! `[ebs_csi_driver]`: how the EBS CSI driver counts what nodes have room for; it matters where pods have `volumes`.

use crate::actors::ebs_csi::EbsCsiSettings;
use crate::input::{Problems, Section};

pub(super) fn read(section: Option<Section<'_>>, problems: &mut Problems) -> EbsCsiSettings {
    let Some(mut section) = section else { return EbsCsiSettings::default() };
    let volume_attach_limit = section.whole("volume_attach_limit", 1, 10_000, problems);
    let reserved_volume_attachments = section.whole("reserved_volume_attachments", 0, 10_000, problems);
    if volume_attach_limit.is_some() && reserved_volume_attachments.is_some() {
        let what = "a limit that is set has nothing taken off it: the driver refuses both";
        let hint = Some("write one of the two".to_string());
        let name = "reserved_volume_attachments";
        problems.add(section.origin_of(name), &section.key(name), what, hint);
    }
    section.finish(problems);
    EbsCsiSettings { volume_attach_limit, reserved_volume_attachments }
}
