//! What these tests need of the machine: directories, file systems of their own, chance and time.
//!
//! All is taken back when dropped. What a run that was killed left behind, the next one takes away.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

const PREFIX: &str = "pantry-durability-";

/// Unix time in µs.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// Unix time in ms.
pub fn now_ms() -> u64 {
    now_us() / 1000
}

/// A number from the environment, or what is usual.
pub fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect(name))
}

/// Numbers that look random, the same for the same seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Numbers of their own for each `purpose`.
    pub fn new(purpose: u64) -> Random {
        Random(setting("PANTRY_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (purpose << 20))
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// An empty directory of its own.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new(what: &str) -> Scratch {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        static CLEAN: Once = Once::new();
        CLEAN.call_once(clean_up);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("{PREFIX}{}-{number}-{what}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Scratch { path }
    }

    /// A path in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Of a test that failed the files are what tells why.
        if std::thread::panicking() {
            eprintln!("see {}", self.path.display());
            return;
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Takes away what runs left behind that have ended.
fn clean_up() {
    let dir = std::env::temp_dir();
    let is_stale = |path: &Path| {
        let name = path.strip_prefix(&dir).ok().and_then(|path| path.iter().next()?.to_str());
        let pid = name.and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    for mount in fs::read_to_string("/proc/mounts").unwrap_or_default().lines() {
        let point = mount.split(' ').nth(1).map(PathBuf::from).filter(|point| is_stale(point));
        if let Some(point) = point {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
    for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
        if is_stale(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    pub point: PathBuf,
    source: PathBuf,
    options: String,
}

impl Mount {
    /// A file system in memory of so many bytes.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn tmpfs(scratch: &Scratch, bytes: u64) -> Result<Mount, String> {
        let mount = Mount {
            point: scratch.at("mount"),
            source: "tmpfs".into(),
            options: format!("size={bytes}"),
        };
        fs::create_dir(&mount.point).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &mount.options, "tmpfs"])
            .arg(&mount.point))?;
        Ok(mount)
    }

    /// An ext4 of so many bytes in a file.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn ext4(scratch: &Scratch, bytes: u64) -> Result<Mount, String> {
        let mount = Mount {
            point: scratch.at("mount"),
            source: scratch.at("disk"),
            options: "loop".into(),
        };
        fs::create_dir(&mount.point).unwrap();
        fs::File::create(&mount.source).unwrap().set_len(bytes).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&mount.source))?;
        mount.mount()?;
        Ok(mount)
    }

    /// Changes the size of one in memory.
    pub fn resize(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.point)).unwrap();
    }

    /// Mounts it again, as after a power loss: what was not safe is gone.
    pub fn remount(&self) {
        run(Command::new("umount").arg(&self.point)).unwrap();
        self.mount().unwrap();
    }

    fn mount(&self) -> Result<(), String> {
        let mut command = Command::new("mount");
        run(command.args(["-o", &self.options]).arg(&self.source).arg(&self.point))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if run(Command::new("umount").arg(&self.point)).is_err() {
            // Somebody still has a file open, or it was not mounted at all.
            let _ = run(Command::new("umount").arg("-l").arg(&self.point));
        }
    }
}

/// Takes an ext4's power away when told to. It is a process that is ready, so that the moment is known.
pub struct PowerSwitch {
    helper: Child,
}

impl PowerSwitch {
    pub fn of(mount: &Mount) -> PowerSwitch {
        // The ioctl is XFS_IOC_GOINGDOWN, which ext4 has too; 2: without flushing its log.
        const HELPER: &str = "import fcntl, os, struct, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
print('ready', flush=True)
sys.stdin.readline()
at = time.time_ns() // 1000
fcntl.ioctl(fd, 0x8004587d, struct.pack('I', 2))
print(at, flush=True)";
        let helper = Command::new("python3")
            .args(["-c", HELPER])
            .arg(&mount.point)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut switch = PowerSwitch { helper };
        assert_eq!(switch.line(), "ready");
        switch
    }

    /// From now on nothing reaches the disk. Returns the moment, in unix µs.
    pub fn off(mut self) -> u64 {
        self.helper.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let at_us = self.line().parse().unwrap();
        self.helper.wait().unwrap();
        at_us
    }

    /// Lines come one at a time, and only when asked for, so that no reader takes more than one.
    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.helper.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for PowerSwitch {
    fn drop(&mut self) {
        let _ = self.helper.kill();
        let _ = self.helper.wait();
    }
}

/// Says that a test can not be run here, and why.
pub fn skipped(test: &str, why: &str) {
    println!("SKIPPED {test}: {why}");
    // Without --nocapture nobody sees what a test prints that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Whether this process may mount.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a program is installed.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).exists())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
