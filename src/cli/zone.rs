//! The zone whose days a report shows: a flag, then the environment, then `asmm.yaml`, then the system's.

use crate::error::{Error, Result};
use crate::settings::{ConfigFile, FILE};
use chrono_tz::Tz;

/// The time zone, and where it was set, in words for the footer.
pub(super) fn zone(flag: Option<&str>, config: &ConfigFile) -> Result<(Tz, &'static str)> {
    let environment = std::env::var("ASMM_TZ").ok().filter(|v| !v.is_empty());
    if let Some(name) = flag {
        return Ok((parse_zone(name, "--tz")?, "from --tz"));
    }
    if let Some(name) = environment {
        return Ok((parse_zone(&name, "ASMM_TZ")?, "from ASMM_TZ"));
    }
    if let Some(name) = &config.tz {
        return Ok((parse_zone(name, FILE)?, "from asmm.yaml"));
    }
    let system = std::env::var("TZ").ok().and_then(|name| name.trim_start_matches(':').parse().ok());
    let system = system.or_else(|| iana_time_zone::get_timezone().ok().and_then(|name| name.parse().ok()));
    Ok(system.map_or((Tz::UTC, "no system zone found"), |zone| (zone, "the system's")))
}

fn parse_zone(name: &str, source: &str) -> Result<Tz> {
    name.parse().map_err(|_| {
        let shown: String = name.chars().take(60).collect();
        Error::usage(format!("`{shown}` ({source}) is not a time zone"))
            .hint("use an IANA name such as Europe/Berlin, America/New_York or UTC")
    })
}
