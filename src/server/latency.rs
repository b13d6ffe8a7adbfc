//! The latency monitor: the worst moments of kinds of events that passed `latency-monitor-threshold`.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// Moments remembered of each event, one a second at most.
const MOMENTS_MAX: usize = 160;

/// What was slow, by the event's name.
#[derive(Debug, Default)]
pub struct LatencyMonitor(Mutex<BTreeMap<&'static str, Event>>);

/// One kind of event.
#[derive(Debug, Clone, Default)]
pub struct Event {
    /// The oldest first.
    pub moments: VecDeque<Moment>,
    /// The longest since the last reset, in ms.
    pub max_ms: u64,
}

/// The longest event of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Unix seconds.
    pub at_s: u64,
    /// How long it took, in ms.
    pub took_ms: u64,
}

impl LatencyMonitor {
    /// Remembers an event.
    pub fn add(&self, event: &'static str, at_s: u64, took_ms: u64) {
        let mut events = self.0.lock();
        let event = events.entry(event).or_default();
        event.max_ms = event.max_ms.max(took_ms);
        match event.moments.back_mut() {
            Some(last) if last.at_s == at_s => last.took_ms = last.took_ms.max(took_ms),
            _ => {
                if event.moments.len() == MOMENTS_MAX {
                    event.moments.pop_front();
                }
                event.moments.push_back(Moment { at_s, took_ms });
            }
        }
    }

    /// All events, by name.
    pub fn events(&self) -> Vec<(&'static str, Event)> {
        self.0.lock().iter().map(|(name, event)| (*name, event.clone())).collect()
    }

    /// The event of this name, in any case.
    pub fn event(&self, name: &[u8]) -> Option<(&'static str, Event)> {
        self.events().into_iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Forgets events that `is_chosen`; returns how many.
    pub fn forget(&self, is_chosen: impl Fn(&str) -> bool) -> usize {
        let mut events = self.0.lock();
        let before = events.len();
        events.retain(|name, _| !is_chosen(name));
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_moment_and_only_the_last_are_kept() {
        let monitor = LatencyMonitor::default();
        for (at_s, took_ms) in [(1, 30), (1, 50), (1, 40), (2, 20)] {
            monitor.add("command", at_s, took_ms);
        }
        let (name, event) = monitor.event(b"COMMAND").unwrap();
        let moments: Vec<Moment> = event.moments.into();
        let moment = |at_s, took_ms| Moment { at_s, took_ms };
        assert_eq!((name, event.max_ms), ("command", 50));
        assert_eq!(moments, [moment(1, 50), moment(2, 20)]);
        (0..1000).for_each(|at_s| monitor.add("expire-cycle", at_s, 1));
        assert_eq!(monitor.event(b"expire-cycle").unwrap().1.moments.len(), MOMENTS_MAX);
        assert_eq!(monitor.forget(|name| name == "command"), 1);
        assert!(monitor.event(b"command").is_none());
    }
}
