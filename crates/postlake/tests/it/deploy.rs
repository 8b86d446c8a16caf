//! What `deploy/` offers: as closed as it says it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The highest exposure that we ship, on the scale of `systemd-analyze security` from 0 to 10.
const MOST_EXPOSED: f64 = 1.5;

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(file)
}

#[test]
fn the_systemd_unit_leaves_little_exposed() {
    let unit = deploy("systemd/postlake.service");
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(["security", "--offline=true", "--no-pager"])
        .arg(&unit);
    let Ok(output) = analyze.output() else {
        eprintln!("skipped: there is no systemd-analyze here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let level = said
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for postlake.service:"))
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok());
    let level = level.unwrap_or_else(|| panic!("no level in {said}"));
    assert!(level <= MOST_EXPOSED, "{level}: {said}");
}

#[test]
fn the_systemd_unit_keeps_dumps_and_secrets_in() {
    let unit = fs::read_to_string(deploy("systemd/postlake.service")).unwrap();
    for line in [
        "LimitCORE=0",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "UMask=0077",
        "LoadCredential=alert.secret:/etc/postlake/alert.secret",
        "ExecStartPre=/usr/local/bin/postlake check --config /etc/postlake/postlake.toml",
    ] {
        assert!(unit.lines().any(|present| present == line), "{line}");
    }
}

#[test]
fn the_image_has_no_shell_and_no_root() {
    let image = fs::read_to_string(deploy("docker/Dockerfile")).unwrap();
    let last = image.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("gcr.io/distroless/"), "{last}");
    assert!(last.contains("\nUSER 65532:65532\n"));
    // Only the form in brackets works without a shell.
    for instruction in ["ENTRYPOINT", "CMD", "VOLUME"] {
        let lines = last
            .lines()
            .filter(|line| line.trim().starts_with(instruction));
        for line in lines {
            assert!(line.contains(&format!("{instruction} [")), "{line}");
        }
    }
    assert!(!last.contains("\nRUN"), "nothing can run in the last stage");
}
