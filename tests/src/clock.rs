//! A wall clock that the test can set, for one process: a small library put before libc, whose `clock_gettime` adds the
//! seconds written in a file. The machine's clock stays as it is, and so does the monotonic one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int done = (int) syscall(SYS_clock_gettime, clock, now);
	const char *path = getenv("TEST_CLOCK");
	if (done == 0 && clock == CLOCK_REALTIME && path) {
		char text[32] = "";
		int file = open(path, O_RDONLY | O_CLOEXEC);
		if (file >= 0) {
			if (read(file, text, sizeof text - 1) > 0)
				now->tv_sec += atoll(text);
			close(file);
		}
	}
	return done;
}
"#;

/// A clock that can be set.
#[derive(Debug)]
pub struct TestClock {
    library: PathBuf,
    offset: PathBuf,
}

impl TestClock {
    /// Makes one in `dir`; it goes right at first.
    ///
    /// # Errors
    /// When the library can't be compiled.
    pub fn make(dir: &Path) -> Result<Self> {
        let (source, library, offset) = (dir.join("clock.c"), dir.join("clock.so"), dir.join("clock.offset"));
        fs_err::write(&source, SOURCE)?;
        let output = Command::new("gcc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .context("run gcc")?;
        if !output.status.success() {
            bail!("gcc: {}", String::from_utf8_lossy(&output.stderr));
        }
        let made = Self { library, offset };
        made.set(0)?;
        Ok(made)
    }

    /// Environment of the process that is to have this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        let at = |path: &Path| path.display().to_string();
        vec![("LD_PRELOAD".to_owned(), at(&self.library)), ("TEST_CLOCK".to_owned(), at(&self.offset))]
    }

    /// Sets it so many seconds before (negative) or after the machine's.
    ///
    /// # Errors
    /// When it can't be set.
    pub fn set(&self, seconds: i64) -> Result<()> {
        let fresh = self.offset.with_extension("new");
        fs_err::write(&fresh, seconds.to_string())?;
        Ok(fs_err::rename(fresh, &self.offset)?)
    }
}
