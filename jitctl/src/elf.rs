//! Names in the dynamic symbol table of a 64-bit little-endian ELF file. Loading the file to see them would run
//! its code; this only reads bytes, and any damage is "no symbols".

/// Defined dynamic symbols.
///
/// `None` when this is no such ELF file or it has no dynamic symbol table.
pub fn exported(file: &[u8]) -> Option<Vec<String>> {
    // ELF-64 header: magic, class 2, data 1; e_shoff at 40, e_shentsize at 58, e_shnum at 60.
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let sections = number(file, 40, 8)?;
    let size = number(file, 58, 2)?;
    let count = number(file, 60, 2)?;
    let section = |index: usize| -> Option<&[u8]> {
        let start = sections.checked_add(index.checked_mul(size)?)?;
        file.get(start..start.checked_add(64)?)
    };
    // SHT_DYNSYM is 11; sh_type at 4, sh_offset at 24, sh_size at 32, sh_link at 40.
    let table = (0..count).find_map(|i| section(i).filter(|s| number(s, 4, 4) == Some(11)))?;
    let symbols = content(file, table)?;
    let strings = content(file, section(number(table, 40, 4)?)?)?;
    let mut names = Vec::new();
    for symbol in symbols.chunks_exact(24) {
        // Elf64_Sym: st_name at 0, st_shndx at 6 (0 = undefined here).
        if number(symbol, 6, 2)? == 0 {
            continue;
        }
        let name = strings.get(number(symbol, 0, 4)?..)?;
        let end = name.iter().position(|b| *b == 0)?;
        names.push(String::from_utf8_lossy(&name[..end]).into_owned());
    }
    Some(names)
}

fn content<'a>(file: &'a [u8], section: &[u8]) -> Option<&'a [u8]> {
    let start = number(section, 24, 8)?;
    file.get(start..start.checked_add(number(section, 32, 8)?)?)
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(len)?)?;
    let value = field.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    usize::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C library of the machine the tests run on is an ELF file with known names.
    fn libc() -> Vec<u8> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let path = maps
            .lines()
            .filter_map(|l| l.split_whitespace().last())
            .find(|p| p.contains("/libc.so"))
            .unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn finds_what_is_there_and_not_what_is_not() {
        let names = exported(&libc()).unwrap();
        assert!(names.iter().any(|n| n == "getpid"));
        assert!(names.iter().all(|n| n != "jit_approval"));
    }

    #[test]
    fn damage_is_no_symbols_and_no_panic() {
        let good = libc();
        assert_eq!(exported(b""), None);
        assert_eq!(exported(b"#!/bin/sh\n"), None);
        assert_eq!(exported(&good[..good.len() / 2]), None);
        for at in 0..64 {
            let mut bad = good[..4096.min(good.len())].to_vec();
            bad[at] ^= 0xff;
            let _ = exported(&bad);
        }
    }
}
