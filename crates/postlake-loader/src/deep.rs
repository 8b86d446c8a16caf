//! A verification that reads everything: every page, and every value of every row, held against what raw
//! says, because pages of a data file carry no sum of their own.

use chrono::{DateTime, Utc};
use postlake_lake::Lake;
use postlake_raw::RawStore;

use crate::books::{Asked, FindingKind, Findings, Verification, Watch, Window, verify};
use crate::error::LoadError;
use crate::index::KeyLimits;
use crate::replay::{Choice, Replay};
use crate::upkeep::Rules;

/// As [`verify`], with every page read; when all holds so far, every value is compared with raw.
///
/// # Errors
/// As [`verify`], and when the lake cannot be read.
pub async fn verify_deep(
    raw: &RawStore,
    lake: &Lake,
    window: Window,
    watch: Watch<'_>,
) -> Result<Verification, LoadError> {
    let asked = Asked {
        window,
        pages: true,
    };
    let mut verification = verify(raw, lake, asked, watch).await?;
    if verification.findings.faults() == 0 {
        compare(raw, lake, window, &mut verification.findings).await?;
    }
    Ok(verification)
}

/// A replay that changes nothing says what it would have changed.
async fn compare(
    raw: &RawStore,
    lake: &Lake,
    window: Window,
    findings: &mut Findings,
) -> Result<(), LoadError> {
    let replay = Replay {
        raw: raw.clone(),
        lake: lake.clone(),
        // What is added would be loaded then; nothing is.
        now: DateTime::<Utc>::UNIX_EPOCH,
        keys: KeyLimits::default(),
        rules: Rules::default(),
        dry_run: true,
    };
    let choice = Choice { window, only: None };
    let would = replay.run(&choice, &mut |_| ()).await?;
    if would.changes_nothing() {
        return Ok(());
    }
    let reason = format!(
        "rows are not what this release makes of raw: {} would be replaced, {} added, {} removed, {} accounts corrected; \
         either they were damaged, or an older release wrote them: `postlake replay` makes them right",
        would.replaced,
        would.events_added + would.alerts_added + would.quarantined,
        would.removed + would.released,
        would.accounts
    );
    findings.add(FindingKind::OtherValues, "lake", reason);
    Ok(())
}
