//! The data files that the log names, held against those that are in the store.

use std::collections::HashMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use deltalake_core::logstore::ObjectStoreRef;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store_lake::path::Path;
use object_store_lake::{ObjectMeta, ObjectStoreExt as _};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;

use crate::error::{ErrorKind, LakeError};
use crate::table::LakeTable;

/// Footers that are read at a time.
const AT_A_TIME: usize = 8;

/// So much of a file's end holds most footers.
const FOOTER_BYTES: u64 = 64 << 10;

/// Most foreign objects that are told one by one.
const MOST_TOLD: usize = 100;

/// Where a table keeps its log.
const LOG: &str = "_delta_log";

/// What a look at the files of a table found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSurvey {
    /// Files that the log names.
    pub named: u64,
    /// Their rows, as far as the log says.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that are not as the log says.
    pub faults: Vec<FileFault>,
    /// Parquet files that this version does not name: replaced by others, or left behind by a writer
    /// that ended before its commit.
    pub unnamed: Unnamed,
    /// Objects beside the log that are no Parquet, at most a hundred.
    pub foreign: Vec<String>,
}

/// A data file that is not as the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// Its name below the table.
    pub path: String,
    /// True if it is not there at all.
    pub missing: bool,
    /// False if only its footer could not be read: that may be the store's fault, and pass.
    pub certain: bool,
    /// What is wrong.
    pub reason: String,
}

/// Files that no reader looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The oldest of them and when it was written.
    pub oldest: Option<(DateTime<Utc>, String)>,
}

impl Unnamed {
    fn add(&mut self, object: &ObjectMeta) {
        self.files += 1;
        self.bytes += object.size;
        let this = (object.last_modified, object.location.to_string());
        self.oldest = Some(match self.oldest.take() {
            Some(oldest) => oldest.min(this),
            None => this,
        });
    }
}

struct Named {
    bytes: u64,
    rows: Option<u64>,
}

impl LakeTable {
    /// Lists the table's folder and reads the footer of every file that this version names.
    ///
    /// # Errors
    /// When the store cannot be listed. A file that cannot be read is a finding.
    pub async fn survey(&self) -> Result<FileSurvey, LakeError> {
        let name = self.table().name();
        let doing = || format!("survey the data files of the table {name}");
        let mut named = self.named_files()?;
        let mut survey = FileSurvey {
            named: named.len() as u64,
            rows: named.values().filter_map(|file| file.rows).sum(),
            bytes: named.values().map(|file| file.bytes).sum(),
            ..FileSurvey::default()
        };
        let store = self.delta().object_store();
        let mut there = Vec::new();
        let mut listing = store.list(None);
        let failed = |source| LakeError::new(ErrorKind::Unavailable, doing(), source);
        while let Some(object) = listing.try_next().await.map_err(failed)? {
            match named.remove(object.location.as_ref()) {
                Some(file) => there.push((object, file)),
                None => survey.stray(&object),
            }
        }
        for (path, file) in named {
            // A listing while others write and delete may pass over what is there.
            if let Ok(object) = store.head(&Path::from(path.as_str())).await {
                there.push((object, file));
                continue;
            }
            survey.faults.push(FileFault {
                path,
                missing: true,
                certain: true,
                reason: "the log names it, and it is not there".to_owned(),
            });
        }
        let mut looked = stream::iter(there)
            .map(|(object, file)| look(ObjectStoreRef::clone(&store), object, file))
            .buffer_unordered(AT_A_TIME);
        while let Some(looked) = looked.next().await {
            survey.faults.extend(looked);
        }
        survey.faults.sort_by(|one, two| one.path.cmp(&two.path));
        Ok(survey)
    }

    fn named_files(&self) -> Result<HashMap<String, Named>, LakeError> {
        let doing = || format!("list the data files of the table {}", self.table().name());
        let snapshot = self
            .delta()
            .snapshot()
            .map_err(|source| LakeError::delta(doing(), source))?;
        let files = snapshot.log_data();
        let files = files.iter().map(|file| {
            let rows = file.num_records().map(|rows| rows as u64);
            let bytes = u64::try_from(file.size()).unwrap_or(0);
            let path = file.object_store_path().to_string();
            (path, Named { bytes, rows })
        });
        Ok(files.collect())
    }
}

impl FileSurvey {
    fn stray(&mut self, object: &ObjectMeta) {
        let path = object.location.as_ref();
        if path.starts_with(LOG) {
            return;
        }
        if path.ends_with(".parquet") {
            self.unnamed.add(object);
        } else if self.foreign.len() < MOST_TOLD {
            self.foreign.push(path.to_owned());
        }
    }
}

/// What is wrong with a file that is there, if anything is.
async fn look(store: ObjectStoreRef, object: ObjectMeta, file: Named) -> Option<FileFault> {
    let mut certain = true;
    let reason = if object.size != file.bytes {
        let (is, said) = (object.size, file.bytes);
        Some(format!("it has {is} bytes, the log says {said}"))
    } else {
        match rows_of(&store, &object.location, object.size).await {
            Err(reason) => {
                certain = false;
                Some(reason)
            }
            Ok(rows) if file.rows.is_some_and(|said| said != rows) => {
                let said = file.rows.unwrap_or_default();
                Some(format!(
                    "its footer counts {rows} rows, the log says {said}"
                ))
            }
            Ok(_) => None,
        }
    };
    reason.map(|reason| FileFault {
        path: object.location.to_string(),
        missing: false,
        certain,
        reason,
    })
}

/// The rows that a footer counts, or why it cannot be read.
async fn rows_of(store: &ObjectStoreRef, path: &Path, size: u64) -> Result<u64, String> {
    let mut wanted = FOOTER_BYTES;
    loop {
        let start = size.saturating_sub(wanted);
        let end: Bytes = store
            .get_range(path, start..size)
            .await
            .map_err(|error| format!("its footer cannot be read: {error}"))?;
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&end, size) {
            Ok(()) => {
                let metadata = reader.finish().map_err(|error| error.to_string())?;
                return Ok(u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0));
            }
            Err(ParquetError::NeedMoreData(bytes)) if wanted < size && bytes as u64 > wanted => {
                wanted = bytes as u64;
            }
            Err(error) => return Err(format!("its footer cannot be read: {error}")),
        }
    }
}
