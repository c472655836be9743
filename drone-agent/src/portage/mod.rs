//! portage
