//! A terminal of a test's own: a program runs on it, keys are typed into it, and what is on it is read.

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Far more than anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// Makes the terminal the program's own, as a log-in does, and then becomes the program.
const LAUNCHER: &str = "\
import fcntl, json, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execve(sys.argv[2], sys.argv[2:], json.loads(sys.argv[1]))";

pub struct Terminal {
    child: Child,
    keyboard: File,
    /// Our end of what the program sees, so that it can be looked at when the program has ended.
    device: OwnedFd,
    seen: Arc<(Mutex<vt100::Parser>, Condvar)>,
}

impl Terminal {
    /// Starts `command`, with its environment alone, on a terminal of so many columns and rows.
    pub fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let device =
            rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&ours, size(columns, rows)).unwrap();

        let mut environment: BTreeMap<_, _> =
            command.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?))).collect();
        environment.insert("TERM", "xterm-256color");
        let python = std::env::var("ASMM_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let end = || Stdio::from(device.try_clone().unwrap());
        let child = Command::new(python)
            .args(["-c", LAUNCHER, &serde_json::to_string(&environment).unwrap()])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(command.get_current_dir().expect("the command has a folder"))
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("python3 can be started");

        let keyboard = File::from(ours);
        let seen = Arc::new((Mutex::new(vt100::Parser::new(rows, columns, 0)), Condvar::new()));
        let mut output = keyboard.try_clone().unwrap();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shared.0.lock().unwrap().process(&bytes[..count]);
                shared.1.notify_all();
            }
        });
        Self { child, keyboard, device, seen }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Makes the window another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.seen.0.lock().unwrap().screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.keyboard, size(columns, rows)).unwrap();
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.seen.0.lock().unwrap().screen().contents()
    }

    /// The screen, with its colours.
    pub fn screen(&self) -> vt100::Screen {
        self.seen.0.lock().unwrap().screen().clone()
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub fn wait(&self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let given_up = Instant::now() + PATIENCE;
        let mut parser = self.seen.0.lock().unwrap();
        while !is_so(parser.screen()) {
            let left = given_up.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain for {what}; on the screen is\n{}",
                parser.screen().contents()
            );
            parser = self.seen.1.wait_timeout(parser, left).unwrap().0;
        }
    }

    /// Waits until the screen shows all of `words`.
    #[track_caller]
    pub fn wait_for(&self, words: &[&str]) {
        self.wait(&format!("{words:?}"), |screen| {
            let text = screen.contents();
            words.iter().all(|word| text.contains(word))
        });
    }

    /// Waits until the first line shows `head` and the last one `foot`: what is between them is drawn then.
    #[track_caller]
    pub fn wait_for_whole(&self, head: &str, foot: &str) {
        self.wait(&format!("{head:?} on top, {foot:?} at the bottom"), |screen| {
            let rows: Vec<String> = screen.rows(0, screen.size().1).collect();
            rows.first().is_some_and(|row| row.contains(head))
                && rows.last().is_some_and(|row| row.contains(foot))
        });
    }

    /// Waits until the screen no longer shows `word`.
    #[track_caller]
    pub fn wait_without(&self, word: &str) {
        self.wait(&format!("the end of {word:?}"), |screen| !screen.contents().contains(word));
    }

    /// Sends a signal: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the program's end; its exit code, or `None` when a signal ended it.
    #[track_caller]
    pub fn end(&mut self) -> Option<i32> {
        let given_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < given_up, "the program does not end; on the screen is\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Checks that the terminal is as it was before: the first screen, a cursor, and lines that are edited and echoed.
    #[track_caller]
    pub fn is_given_back(&self) {
        self.wait("the first screen", |screen| !screen.alternate_screen() && !screen.hide_cursor());
        let modes = tcgetattr(&self.device).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{modes:?}");
    }

    /// Checks that the terminal is taken whole.
    #[track_caller]
    pub fn is_taken(&self) {
        self.wait("the second screen", |screen| screen.alternate_screen() && screen.hide_cursor());
        let modes = tcgetattr(&self.device).unwrap().local_modes;
        assert!(!modes.intersects(LocalModes::ICANON | LocalModes::ECHO), "{modes:?}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
