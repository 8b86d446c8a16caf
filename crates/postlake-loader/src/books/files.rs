//! The data files of a table.

use postlake_lake::LakeTable;

use super::Verification;
use super::finding::FindingKind;
use crate::error::LoadError;

/// Looks at every file that the log names, and at those that it does not.
pub(super) async fn check(
    lake: &LakeTable,
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
