//! The file that a backup is written to: beside its place until it is whole, for the owner's eyes only, and
//! gone when it does not become whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use portcullis_authority::refusal::Trouble;
use portcullis_store::{Imprint, Tray};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::strongbox::Locking;
use super::{Header, KeyFile, Under, about, as_io, trouble};
use crate::means::Means;

const TAKEN: &str = "it is there already; a backup is never written over another file";

/// A backup that is being written.
pub(super) struct Vessel<'a> {
    place: PathBuf,
    beside: Beside,
    under: Under,
    means: &'a Means,
    files: Vec<KeyFile>,
    /// Until there is a first line.
    empty: Option<File>,
    /// From then on.
    filling: Option<(Header, Locking<BufWriter<File>>)>,
}

/// A file that is removed unless it was taken away.
struct Beside(Option<PathBuf>);

impl<'a> Vessel<'a> {
    /// Makes the file beside its place.
    pub fn make(
        place: &Path,
        (under, means): (Under, &'a Means),
        files: Vec<KeyFile>,
    ) -> Result<Self, Trouble> {
        if place.exists() {
            return Err(about(place, TAKEN));
        }
        let name = place.file_name().ok_or_else(|| about(place, "it does not name a file"))?;
        // Two that are taken at once do not meet in one file.
        let mut beside = name.to_owned();
        beside.push(format!(".{}.part", std::process::id()));
        let beside = place.with_file_name(beside);
        // What a crash left behind is in nobody's use.
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(about(&beside, e)),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let file = file.map_err(|why| about(&beside, why))?;
        let beside = Beside(Some(beside));
        Ok(Self { place: place.into(), beside, under, means, files, empty: Some(file), filling: None })
    }

    /// Brings it to disk and to its place.
    pub fn close(mut self) -> Result<Header, Trouble> {
        let (header, locking) = self.filling.take().ok_or_else(|| trouble("nothing was copied"))?;
        let beside = self.beside.0.take().ok_or_else(|| trouble("it was closed before"))?;
        if let Err(why) = settle(locking, &beside, &self.place) {
            self.beside.0 = Some(beside);
            return Err(match why.kind() {
                io::ErrorKind::AlreadyExists => about(&self.place, TAKEN),
                _ => about(&self.place, why),
            });
        }
        Ok(header)
    }

    fn open(&mut self, imprint: &Imprint, file: File) -> Result<(), Trouble> {
        let now = i64::try_from(self.means.clock.now()).map_err(trouble)?;
        let now = OffsetDateTime::from_unix_timestamp(now).map_err(trouble)?;
        let made_at = now.format(&Rfc3339).map_err(trouble)?;
        let (header, key) = Header::make((imprint, &made_at), &self.under, &*self.means.dice)?;
        let line = header.line()?;
        let mut to = BufWriter::new(file);
        to.write_all(line.as_bytes()).map_err(trouble)?;
        let mut locking = Locking::new(to, &key, line.as_bytes());
        for file in std::mem::take(&mut self.files) {
            let line = serde_json::to_string(&file).map_err(trouble)?;
            locking.write_all(line.as_bytes()).and_then(|()| locking.write_all(b"\n")).map_err(trouble)?;
        }
        self.filling = Some((header, locking));
        Ok(())
    }
}

fn settle(locking: Locking<BufWriter<File>>, beside: &Path, place: &Path) -> io::Result<()> {
    let file = locking.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    put(beside, place)?;
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Gives a file its name, unless somebody else has it by now: renaming would write over theirs.
fn put(beside: &Path, place: &Path) -> io::Result<()> {
    match fs::hard_link(beside, place) {
        Ok(()) => {
            // The file has both names now. If the first stays, the next backup of this name removes it.
            let _ = fs::remove_file(beside);
            Ok(())
        }
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Err(why),
        Err(_) => claim(beside, place),
    }
}

/// Where a file cannot have two names: the name is taken by an empty file, which only we can have made, and which may
/// be written over.
fn claim(beside: &Path, place: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
    fs::rename(beside, place).inspect_err(|_| drop(fs::remove_file(place)))
}

impl Tray for Vessel<'_> {
    fn begin(&mut self, imprint: &Imprint) -> io::Result<()> {
        match self.empty.take() {
            Some(file) => self.open(imprint, file).map_err(as_io),
            None => Err(io::Error::other("a copy begins once")),
        }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let Some((_, to)) = &mut self.filling else {
            return Err(io::Error::other("a copy begins with what it is of"));
        };
        to.write_all(line.as_bytes())?;
        to.write_all(b"\n")
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // If it cannot be removed, the next backup of this name does it.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn a_file_that_came_meanwhile_is_not_written_over() {
        for put in [put, claim] {
            let folder = Scratch::new();
            let (beside, place) = (folder.path().join("a.part"), folder.path().join("a.backup"));
            fs::write(&beside, "ours").unwrap();
            fs::write(&place, "theirs").unwrap();
            assert_eq!(put(&beside, &place).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read_to_string(&place).unwrap(), "theirs");
            fs::remove_file(&place).unwrap();
            put(&beside, &place).unwrap();
            assert_eq!((fs::read_to_string(&place).unwrap().as_str(), beside.exists()), ("ours", false));
        }
    }
}
