//! Known holes of sudo that break what jit promises. Distributions mend them without a new upstream version, so the
//! version of their package is what counts where it is known.

use crate::facts::Version;

struct Hole {
    cve: &'static str,
    from: Version,
    /// First version without it.
    fixed: Version,
    what: &'static str,
    /// Packages of these upstream versions that have it mended (their changelogs, Debian's tracker, Ubuntu's USN-7604-1).
    mended: &'static [(&'static str, &'static str)],
}

const HOLES: [Hole; 4] = [
    Hole {
        cve: "CVE-2025-32463",
        from: Version(1, 9, 14, 0),
        fixed: Version(1, 9, 17, 1),
        what: "anyone becomes root with -R",
        mended: &[
            ("1.9.15p5", "1.9.15p5-3ubuntu5.24.04.1"),
            ("1.9.16p2", "1.9.16p2-3"),
        ],
    },
    Hole {
        cve: "CVE-2025-32462",
        from: Version(1, 8, 8, 0),
        fixed: Version(1, 9, 17, 1),
        what: "rules for another host count with -h",
        mended: &[
            ("1.9.5p2", "1.9.5p2-3+deb11u2"),
            ("1.9.9", "1.9.9-1ubuntu2.5"),
            ("1.9.13p3", "1.9.13p3-1+deb12u2"),
            ("1.9.15p5", "1.9.15p5-3ubuntu5.24.04.1"),
            ("1.9.16p2", "1.9.16p2-3"),
        ],
    },
    Hole {
        cve: "CVE-2023-22809",
        from: Version(1, 8, 0, 0),
        fixed: Version(1, 9, 12, 2),
        what: "sudoedit edits any file through EDITOR",
        mended: &[("1.9.5p2", "1.9.5p2-3+deb11u1")],
    },
    Hole {
        cve: "CVE-2021-3156",
        from: Version(1, 8, 2, 0),
        fixed: Version(1, 9, 5, 2),
        what: "anyone becomes root with sudoedit -s",
        mended: &[],
    },
];

/// `CVE (what)` of each that this version has. `package` is the version of the package, which `at_least` compares.
pub fn holes(
    version: Version,
    package: Option<&str>,
    at_least: impl Fn(&str, &str) -> bool,
) -> Vec<String> {
    let mended = |hole: &Hole| {
        package.is_some_and(|package| {
            hole.mended.iter().any(|(upstream, fixed)| {
                Version::parse(upstream) == Some(version) && at_least(package, fixed)
            })
        })
    };
    HOLES
        .iter()
        .filter(|h| (h.from..h.fixed).contains(&version) && !mended(h))
        .map(|h| format!("{} ({})", h.cve, h.what))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cves(version: &str) -> Vec<String> {
        holes(
            Version::parse(version).unwrap(),
            None,
            |_, _| unreachable!(),
        )
        .iter()
        .map(|h| h.split(' ').next().unwrap().to_owned())
        .collect()
    }

    #[test]
    fn ranges_of_the_advisories() {
        assert_eq!(
            cves("1.9.5p1"),
            ["CVE-2025-32462", "CVE-2023-22809", "CVE-2021-3156"]
        );
        assert_eq!(cves("1.9.12p1"), ["CVE-2025-32462", "CVE-2023-22809"]);
        assert_eq!(cves("1.9.13p3"), ["CVE-2025-32462"]);
        assert_eq!(cves("1.9.16p2"), ["CVE-2025-32463", "CVE-2025-32462"]);
        assert!(cves("1.9.17p1").is_empty());
    }

    #[test]
    fn a_package_with_the_mend_has_the_hole_no_more() {
        let with = |mended: bool| {
            let version = Version::parse("1.9.13p3").unwrap();
            holes(version, Some("1.9.13p3-1+deb12u4"), |have, fixed| {
                assert_eq!((have, fixed), ("1.9.13p3-1+deb12u4", "1.9.13p3-1+deb12u2"));
                mended
            })
        };
        assert!(with(true).is_empty());
        assert_eq!(with(false).len(), 1);
    }
}
