//! What wiring su writes: our lines at the head of its PAM files. Pure text in, text out.

use crate::block;
use crate::doctor::pam;

pub use wire::wiring::SU_FILES;

/// The program.
pub const SU: &str = "/usr/bin/su";

/// Needs this file lines of ours? Not where it begins with those of `su`: there they come already, and twice would be two
/// uses.
pub fn needs_lines(path: &str, base: &str) -> bool {
    path == SU_FILES[0] || !pam::leads_to(base, "su")
}

/// Our lines before all others: the first line of a kind decides.
pub fn pam(base: &str, template: &str) -> String {
    let lines = block::marked_by("setup pam", template);
    format!("{lines}{}", block::without(base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sudo_rs::PAM_COPY;

    const TEMPLATE: &str = include_str!("../../packaging/wiring/pam-su");
    const DEBIAN: &str = "auth       sufficient pam_rootok.so\nsession required pam_env.so\n@include common-auth\n\
                          @include common-account\n@include common-session\n";
    const LOGIN: &str = "#%PAM-1.0\nauth include su\naccount include su\nsession include su\n";

    #[test]
    fn our_lines_come_first_and_go_without_a_trace() {
        let text = pam(DEBIAN, TEMPLATE);
        assert_eq!(block::without(&text), DEBIAN);
        assert_eq!(pam(&text, TEMPLATE), text);
        assert!(text.find(PAM_COPY) < text.find("pam_rootok"));
        assert!(text.contains("`jitctl setup pam --undo`"));
        assert!(crate::doctor::pam::faults(&text).is_empty());
        assert!(crate::doctor::pam::session_faults(&text).is_empty());
        let moved = text.replace("default=3", "default=2");
        assert_eq!(crate::doctor::pam::session_faults(&moved).len(), 1);
        assert_eq!(crate::doctor::pam::session_faults(DEBIAN).len(), 1);
    }

    #[test]
    fn a_login_that_begins_with_su_has_its_lines_already() {
        assert!(needs_lines(SU_FILES[0], DEBIAN));
        assert!(!needs_lines(SU_FILES[1], LOGIN));
        let own = format!("auth sufficient pam_rootok.so\n{LOGIN}");
        assert!(needs_lines(SU_FILES[1], &own));
        assert!(needs_lines(SU_FILES[1], ""));
    }
}
