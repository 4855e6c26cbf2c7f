//! Reads the samples out of our pages. A fenced block whose info string is `sh test` is run by the tests, so
//! it stays true; any other block is for the eye.

use std::path::{Path, PathBuf};

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

/// The samples of a page that are run, in the order in which they stand.
pub fn samples(page: &str) -> Vec<String> {
    let mut samples = Vec::new();
    let mut open: Option<(bool, Vec<&str>)> = None;
    for line in page.lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(info)) => open = Some((info.split_whitespace().eq(["sh", "test"]), Vec::new())),
            (Some(_), Some("")) => {
                if let Some((true, script)) = open.take() {
                    samples.push(script.join("\n"));
                }
            }
            (Some((_, script)), _) => script.push(line),
            (None, None) => {}
        }
    }
    samples
}

/// What a sample says that it prints: comments of its own lines.
pub fn expected(script: &str) -> impl Iterator<Item = &str> {
    script.lines().filter_map(|line| line.strip_prefix("# ").map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_that_say_so_are_run() {
        let text =
            "a\n```sh test\none\ntwo\n```\n```sh\nnot me\n```\n```toml\n[x]\n```\n```sh  test\nthree\n```\n";
        assert_eq!(samples(text), ["one\ntwo", "three"]);
    }

    #[test]
    fn a_fence_inside_a_block_does_not_end_it() {
        assert_eq!(samples("```sh test\necho '```sh'\n```\n"), ["echo '```sh'"]);
    }

    #[test]
    fn what_is_printed_stands_behind_a_hash() {
        assert_eq!(expected("curl x # not this\n# 200\necho '#'").collect::<Vec<_>>(), ["200"]);
    }
}
