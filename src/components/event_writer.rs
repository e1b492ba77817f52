//! A controller's writer of events: client-go's broadcaster sends them one at a time, each when the one before is
//! answered, through the controller's own client.
//! Source: `tools/record/event.go` of client-go.

/// Events that a writer has before it; further ones are dropped.
const MOST_EVENTS: u32 = 1_000;

/// The events of one controller that are still to be written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventWriter {
    pending: u32,
    writing: bool,
}

impl EventWriter {
    /// So many more are to be written; is the writer idle, so that it begins?
    pub fn add(&mut self, events: u32) -> bool {
        self.pending = (self.pending + events).min(MOST_EVENTS);
        !self.writing
    }
    /// Whatever was under way is answered: is there another one to be sent now?
    pub fn next(&mut self) -> bool {
        self.writing = self.pending > 0;
        self.pending -= u32::from(self.writing);
        self.writing
    }
}
