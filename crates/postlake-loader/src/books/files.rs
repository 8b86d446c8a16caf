//! The data files of a table.

use std::collections::HashSet;

use postlake_lake::{FileSurvey, LakeTable};

use super::Verification;
use super::finding::{FindingKind, Findings};
use crate::error::LoadError;
use crate::ledger::chain;
use crate::upkeep::rows_in;

/// Looks at every file that the log names, and at those that it does not.
pub(super) async fn check(
    lake: &LakeTable,
    pages: bool,
    verification: &mut Verification,
) -> Result<(), LoadError> {
    let table = lake.table().name();
    let survey = lake.survey().await.map_err(LoadError::Lake)?;
    verification.data_files += survey.named;
    verification.data_file_bytes += survey.bytes;
    if !survey.faults.is_empty() {
        verification.unread.insert(lake.table());
    }
    let findings = &mut verification.findings;
    for fault in &survey.faults {
        let kind = match fault.missing {
            true => FindingKind::MissingDataFile,
            false => FindingKind::DamagedDataFile,
        };
        findings.add(kind, format!("lake/{table}/{}", fault.path), &fault.reason);
    }
    if pages {
        read_pages(lake, &survey, findings).await?;
    }
    for name in &survey.foreign {
        let reason = "no data file and no log; no reader looks at it";
        findings.add(FindingKind::Note, format!("lake/{table}/{name}"), reason);
    }
    if let Some((at, name)) = &survey.unnamed.oldest {
        let reason = format!(
            "{} Parquet files of {} bytes that this version does not name wait to be vacuumed, \
             the oldest of {}",
            survey.unnamed.files,
            survey.unnamed.bytes,
            at.format("%Y-%m-%dT%H:%MZ")
        );
        findings.add(FindingKind::Note, format!("lake/{table}/{name}"), reason);
    }
    Ok(())
}

/// Reads all of every file that looks whole.
async fn read_pages(
    lake: &LakeTable,
    survey: &FileSurvey,
    findings: &mut Findings,
) -> Result<(), LoadError> {
    let faulty: HashSet<&str> = survey
        .faults
        .iter()
        .map(|fault| fault.path.as_str())
        .collect();
    let files = lake.stored_files().map_err(LoadError::Lake)?;
    for file in files
        .iter()
        .filter(|file| !faulty.contains(file.path.as_str()))
    {
        let reason = match rows_in(lake, file).await {
            Ok(rows) => match file.about.rows {
                Some(said) if said != rows => format!("it has {rows} rows, the log says {said}"),
                _ => continue,
            },
            Err(error) => format!("its pages cannot be read: {}", chain(&error)),
        };
        let place = format!("lake/{}/{}", lake.table().name(), file.path);
        findings.add(FindingKind::DamagedDataFile, place, reason);
    }
    Ok(())
}
