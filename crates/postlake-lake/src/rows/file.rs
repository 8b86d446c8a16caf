//! A data file in the object store, as the Parquet reader asks for it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use object_store_lake::path::Path;
use object_store_lake::{ObjectStore, ObjectStoreExt as _, Result};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

/// A file up to this size is read in one go: on S3 each read costs money and a round trip.
const WHOLE_BYTES: u64 = 4 << 20;

pub(super) struct ObjectFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
    whole: Option<Bytes>,
}

impl ObjectFile {
    /// `bytes` is its size as the log has it; 0 if that does not say.
    pub(super) async fn open(
        store: Arc<dyn ObjectStore>,
        path: Path,
        bytes: u64,
    ) -> Result<ObjectFile> {
        let bytes = match bytes {
            0 => store.head(&path).await?.size,
            bytes => bytes,
        };
        let whole = match bytes <= WHOLE_BYTES {
            true => Some(store.get_range(&path, 0..bytes).await?),
            false => None,
        };
        Ok(ObjectFile {
            store,
            path,
            bytes,
            whole,
        })
    }

    async fn range(&self, range: Range<u64>) -> parquet::errors::Result<Bytes> {
        let Some(whole) = &self.whole else {
            let read = self.store.get_range(&self.path, range).await;
            return read.map_err(|source| ParquetError::External(Box::new(source)));
        };
        let place = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok());
        let place = place.filter(|(start, end)| start <= end && *end <= whole.len());
        let Some((start, end)) = place else {
            return Err(ParquetError::EOF("the file is shorter than it says".into()));
        };
        Ok(whole.slice(start..end))
    }
}

impl AsyncFileReader for ObjectFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.range(range).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let read = async move {
            if self.whole.is_none() {
                let read = self.store.get_ranges(&self.path, &ranges).await;
                return read.map_err(|source| ParquetError::External(Box::new(source)));
            }
            let mut found = Vec::with_capacity(ranges.len());
            for range in ranges {
                found.push(self.range(range).await?);
            }
            Ok(found)
        };
        read.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let read = async move {
            let bytes = self.bytes;
            let metadata = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .load_and_finish(self, bytes)
                .await?;
            Ok(Arc::new(metadata))
        };
        read.boxed()
    }
}
