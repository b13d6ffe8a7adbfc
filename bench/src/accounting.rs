//! Who used the processor: the kernel's own accounts of a process and of the machine, from /proc.
//!
//! The scheduler's account of a *running* thread is up to one tick (4 ms) old. Read these while the server sleeps.

use anyhow::{Context, Result};
use std::fs;
use std::ops::Sub;

/// Length of a tick in /proc/stat and /proc/PID/stat (USER_HZ is 100 on Linux).
const TICK_NS: u64 = 10_000_000;

/// A process, all its living threads together.
#[derive(Clone, Copy, Default)]
pub struct Process {
    /// Time on a processor.
    pub run_ns: u64,
    /// Time ready to run while something else ran.
    pub wait_ns: u64,
    /// Time in user space, in whole ticks.
    pub user_ns: u64,
    /// Time in the kernel, in whole ticks.
    pub system_ns: u64,
}

/// The machine, all processors together, in whole ticks.
#[derive(Clone, Copy, Default)]
pub struct Machine {
    /// Time that something ran, interrupts included.
    pub busy_ns: u64,
    /// Time that the hypervisor gave to others.
    pub steal_ns: u64,
}

/// The memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now.
    pub resident_bytes: u64,
    /// The most that ever was.
    pub peak_bytes: u64,
}

impl Memory {
    /// The memory of process `pid`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid}"))?;
        // The counters of `status` may lag by some pages per thread; the sum over the maps does not.
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        Ok(Self {
            resident_bytes: kib(&rollup, "Rss:")? * 1024,
            peak_bytes: kib(&status, "VmHWM:")? * 1024,
        })
    }
}

fn kib(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| name.to_owned())?.parse()?)
}

impl Process {
    /// The account of process `pid`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let mut sum = Self::default();
        for thread in
            fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid}"))?
        {
            // A thread that ended since the listing has nothing to add.
            if let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) {
                let mut fields = text.split_whitespace().map(str::parse::<u64>);
                sum.run_ns += fields.next().context("schedstat")??;
                sum.wait_ns += fields.next().context("schedstat")??;
            }
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is the name in parentheses, and may hold blanks: count from what follows it.
        let after_name = stat.rsplit_once(')').context("stat")?.1;
        let ticks: Vec<u64> = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        sum.user_ns = ticks[0] * TICK_NS;
        sum.system_ns = ticks[1] * TICK_NS;
        Ok(sum)
    }

    /// The sum over several processes.
    ///
    /// # Errors
    /// When one is gone.
    pub fn sum(pids: &[u32]) -> Result<Self> {
        let mut sum = Self::default();
        for pid in pids {
            let one = Self::of(*pid)?;
            sum.run_ns += one.run_ns;
            sum.wait_ns += one.wait_ns;
            sum.user_ns += one.user_ns;
            sum.system_ns += one.system_ns;
        }
        Ok(sum)
    }
}

impl Machine {
    /// The machine's account.
    ///
    /// # Errors
    /// When /proc/stat is not as Linux writes it.
    pub fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().context("/proc/stat")?;
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
        let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
            anyhow::bail!("/proc/stat: {line}");
        };
        Ok(Self {
            busy_ns: (user + nice + system + irq + softirq) * TICK_NS,
            steal_ns: steal * TICK_NS,
        })
    }
}

impl Sub for Process {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            run_ns: self.run_ns.saturating_sub(before.run_ns),
            wait_ns: self.wait_ns.saturating_sub(before.wait_ns),
            user_ns: self.user_ns.saturating_sub(before.user_ns),
            system_ns: self.system_ns.saturating_sub(before.system_ns),
        }
    }
}

impl Sub for Machine {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            busy_ns: self.busy_ns.saturating_sub(before.busy_ns),
            steal_ns: self.steal_ns.saturating_sub(before.steal_ns),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_written_is_resident() {
        let pid = std::process::id();
        let before = Memory::of(pid).unwrap();
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = Memory::of(pid).unwrap();
        assert!(after.resident_bytes >= before.resident_bytes + (60 << 20), "{after:?}");
        drop(block);
        assert!(Memory::of(pid).unwrap().peak_bytes >= 64 << 20);
    }

    #[test]
    fn work_shows_in_the_accounts() {
        let pid = std::process::id();
        let (process, machine) = (Process::of(pid).unwrap(), Machine::now().unwrap());
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 100 {
            std::hint::black_box(start.elapsed());
        }
        let (ran, busy) = (Process::of(pid).unwrap() - process, Machine::now().unwrap() - machine);
        assert!(ran.run_ns > 0 && ran.run_ns < 2_000_000_000, "{}", ran.run_ns);
        assert!(busy.busy_ns > 0);
    }
}
