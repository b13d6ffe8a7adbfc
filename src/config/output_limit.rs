//! `client-output-buffer-limit`: how much output may wait for a client of each class.
//!
//! What counts as output, and when a client is measured, is the door's matter.

use std::fmt;

use super::format::{Reason, memory, split};

/// What a client is, as far as its output is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It asks and is answered.
    Normal,
    /// A replica. There are none.
    Replica,
    /// It has subscribed.
    Pubsub,
}

/// The limit of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Never more bytes than this; 0: no such limit.
    pub hard_bytes: u64,
    /// No more bytes than this for longer than `soft_seconds`; 0: no such limit.
    pub soft_bytes: u64,
    /// For so long there may be more.
    pub soft_seconds: u64,
}

/// The limits of all classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits([OutputLimit; 3]);

const CLASSES: [(&str, Class); 3] =
    [("normal", Class::Normal), ("slave", Class::Replica), ("pubsub", Class::Pubsub)];

impl OutputLimit {
    /// Whether a client for which so many bytes wait at `now_ms` is to be closed. Keeps in
    /// `soft_since_ms` since when there are more than the soft limit, 0 if there are not.
    pub fn is_over(self, bytes: usize, soft_since_ms: &mut u64, now_ms: u64) -> bool {
        let bytes = bytes as u64;
        if self.soft_bytes == 0 || bytes < self.soft_bytes {
            *soft_since_ms = 0;
        } else if *soft_since_ms == 0 {
            *soft_since_ms = now_ms.max(1);
        }
        let is_over_hard = self.hard_bytes > 0 && bytes >= self.hard_bytes;
        let soft_for_ms = now_ms.saturating_sub(*soft_since_ms);
        let allowed_ms = self.soft_seconds.saturating_mul(1000);
        is_over_hard || (*soft_since_ms > 0 && soft_for_ms > allowed_ms)
    }
}

impl OutputLimits {
    /// The limit of a class.
    pub fn of(&self, class: Class) -> OutputLimit {
        self.0[class as usize]
    }

    /// Sets the limits of the classes that are named: `CLASS HARD SOFT SECONDS ...`; the others stay.
    ///
    /// # Errors
    /// Redis's texts; nothing is changed then.
    pub fn set(&mut self, words: &[&str]) -> Result<(), Reason> {
        let words: Vec<&str> = split(words).collect();
        if !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        let mut limits = *self;
        for limit in words.chunks(4) {
            let class = class(limit[0])
                .ok_or("Invalid client class specified in buffer limit configuration.")?;
            limits.0[class as usize] = parse(&limit[1..]).ok_or(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            )?;
        }
        *self = limits;
        Ok(())
    }
}

fn class(word: &str) -> Option<Class> {
    if word.eq_ignore_ascii_case("replica") {
        return Some(Class::Replica);
    }
    CLASSES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, class)| *class)
}

fn parse(words: &[&str]) -> Option<OutputLimit> {
    Some(OutputLimit {
        hard_bytes: memory(words[0])?,
        soft_bytes: memory(words[1])?,
        soft_seconds: words[2].parse().ok()?,
    })
}

impl Default for OutputLimits {
    fn default() -> OutputLimits {
        const MIB: u64 = 1 << 20;
        OutputLimits([
            OutputLimit::default(),
            OutputLimit { hard_bytes: 256 * MIB, soft_bytes: 64 * MIB, soft_seconds: 60 },
            OutputLimit { hard_bytes: 32 * MIB, soft_bytes: 8 * MIB, soft_seconds: 60 },
        ])
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, class)) in CLASSES.into_iter().enumerate() {
            let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = self.of(class);
            let blank = if at == 0 { "" } else { " " };
            write!(f, "{blank}{name} {hard_bytes} {soft_bytes} {soft_seconds}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_set_one_by_one() {
        let mut limits = OutputLimits::default();
        let default = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(limits.to_string(), default);
        limits.set(&["normal 1mb 2kb 60", "REPLICA", "3", "4", "5"]).unwrap();
        let shown = "normal 1048576 2048 60 slave 3 4 5 pubsub 33554432 8388608 60";
        assert_eq!(limits.to_string(), shown);
        for wrong in ["normal 1 2", "master 1 2 3", "normal a 2 3", "normal 1 2 -3"] {
            assert!(limits.set(&[&format!("pubsub 1 1 1 {wrong}")]).is_err());
            assert_eq!(limits.to_string(), shown, "all or none");
        }
        limits.set(&[default]).unwrap();
        assert_eq!(limits, OutputLimits::default());
    }
}
