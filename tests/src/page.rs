//! Reads the samples out of our pages. A fenced block whose info string is `sh test` is run by the tests, so
//! it stays true; any other block is for the eye.

use std::path::{Path, PathBuf};

/// A sample that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub page: PathBuf,
    /// Line of the opening fence, from 1.
    pub line: usize,
    pub script: String,
}

/// Every page of the repository that may hold samples.
pub fn pages(repository: &Path) -> Vec<PathBuf> {
    let mut pages: Vec<_> = [repository.join("README.md")].into_iter().filter(|page| page.exists()).collect();
    let mut folders = vec![repository.join("docs")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            match path.extension().and_then(|end| end.to_str()) {
                Some("md") => pages.push(path),
                _ if path.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    pages.sort();
    pages
}

/// The samples of a page, in the order in which they stand.
pub fn samples(page: &Path, text: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut open: Option<(usize, bool, Vec<&str>)> = None;
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(info)) => {
                let runs = info.split_whitespace().eq(["sh", "test"]);
                open = Some((number + 1, runs, Vec::new()));
            }
            (Some(_), Some("")) => {
                if let Some((line, true, script)) = open.take() {
                    let script = script.join("\n");
                    samples.push(Sample { page: page.to_owned(), line, script });
                }
            }
            (Some((_, _, script)), _) => script.push(line),
            (None, None) => {}
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_that_say_so_are_run() {
        let text = "a\n```sh test\none\ntwo\n```\n```sh\nnot me\n```\n```toml\n[x]\n```\n```sh  test\nthree\n```\n";
        let found: Vec<_> =
            samples(Path::new("p"), text).into_iter().map(|found| (found.line, found.script)).collect();
        assert_eq!(found, [(2, "one\ntwo".to_owned()), (12, "three".to_owned())]);
    }

    #[test]
    fn a_fence_inside_a_block_does_not_end_it() {
        let text = "```sh test\necho '```sh'\n```\n";
        assert_eq!(samples(Path::new("p"), text)[0].script, "echo '```sh'");
    }
}
