//! What the operating system says of this process. Nothing where it does not say it the Linux way.

use std::fs::read_to_string;

/// Clock ticks per second in /proc; Linux fixes it for user space.
const TICKS_PER_S: f64 = 100.0;

/// How the system tells which connections have something to read.
pub const MULTIPLEXING_API: &str = if cfg!(target_os = "linux") { "epoll" } else { "kqueue" };

/// Resident memory in bytes.
pub fn resident_bytes() -> Option<u64> {
    let status = read_to_string("/proc/self/status").ok()?;
    kib(&status, "VmRSS:")
}

/// Memory of the machine in bytes.
pub fn machine_bytes() -> Option<u64> {
    kib(&read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// Seconds of processor time used so far: in the program, and in the kernel for it.
pub fn cpu_seconds() -> Option<(f64, f64)> {
    let stat = read_to_string("/proc/self/stat").ok()?;
    // The program's name, in brackets, may hold anything; numbers begin after it.
    let (_, numbers) = stat.rsplit_once(')')?;
    let mut numbers = numbers.split_whitespace().skip(11);
    let mut seconds = || Some(numbers.next()?.parse::<f64>().ok()? / TICKS_PER_S);
    Some((seconds()?, seconds()?))
}

/// Name and release of the operating system, and the machine's architecture.
pub fn system() -> String {
    let line = |path| read_to_string(path).map(|text| text.trim().to_owned());
    let arch = std::env::consts::ARCH;
    match (line("/proc/sys/kernel/ostype"), line("/proc/sys/kernel/osrelease")) {
        (Ok(name), Ok(release)) => format!("{name} {release} {arch}"),
        _ => format!("{} {arch}", std::env::consts::OS),
    }
}

/// Writes the number of the process into a file, if there is to be one. The server runs without it.
pub fn write_pid(path: &str) {
    if path.is_empty() {
        return;
    }
    if let Err(error) = std::fs::write(path, format!("{}\n", std::process::id())) {
        tracing::warn!(%error, path, "the pidfile could not be written");
    }
}

/// Removes that file when the server has stopped.
pub fn remove_pid(path: &str) {
    if !path.is_empty() {
        // It is in nobody's way.
        let _ = std::fs::remove_file(path);
    }
}

/// The number after `label`, which is in KiB, in bytes.
fn kib(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
