//! Plans by real Portage, with every version that is supported.

use std::time::Duration;

use fs_err as fs;
use swarm_portage::state::BasePackage;
use swarm_portage::{RootConfig, RootSpec, create, plan};
use swarm_protocol::order::PlanJob;
use swarm_protocol::plan::{ComplaintKind, Plan};

use crate::farm::{Farm, VERSIONS};

fn planned(farm: &Farm, root: &RootConfig, atoms: &[&str], package_use: &[&str]) -> Plan {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let job = PlanJob { atoms: owned(atoms), package_use: owned(package_use), ..Default::default() };
    plan(root, &job, &farm.path().join("plans"), Duration::from_secs(60))
}

fn names(plan: &Plan) -> Vec<&str> {
    assert!(plan.complaint.is_none(), "{:?}", plan.complaint);
    plan.order.iter().map(|&number| plan.packages[number as usize].cpv.as_str()).collect()
}

/// (needed at build time, needed at run time) of an edge, by names.
fn edge(plan: &Plan, from: &str, to: &str) -> Option<(bool, bool)> {
    let number = |cpv: &str| u32::try_from(plan.packages.iter().position(|p| p.cpv.starts_with(cpv))?).ok();
    let (from, to) = (number(from)?, number(to)?);
    plan.edges.iter().find(|edge| edge.from == from && edge.to == to).map(|edge| (edge.build_time, edge.run_time))
}

fn roots(farm: &Farm) -> Vec<RootConfig> {
    VERSIONS
        .into_iter()
        .map(|version| {
            let root = farm.config(&format!("r-{version}"), version);
            create(&RootSpec { config: root.clone(), ..Default::default() }).unwrap();
            root
        })
        .collect()
}

#[test]
fn all_versions_of_portage_plan_the_same_graph() {
    let farm = Farm::new();
    let mut plans: Vec<Plan> = roots(&farm)
        .iter()
        .map(|root| planned(&farm, root, &["app-misc/hivemap", "nectar"], &["app-misc/nectar sweet"]))
        .collect();
    assert_eq!(plans.iter().map(|plan| plan.portage.as_str()).collect::<Vec<_>>(), VERSIONS);
    for plan in &mut plans {
        plan.portage.clear();
        plan.duration_ms = 0;
    }
    for (plan, version) in plans.iter().zip(VERSIONS) {
        assert_eq!(plan, &plans[0], "{version}");
    }
    let plan = &plans[0];
    let order = names(plan);
    let at = |cpv: &str| order.iter().position(|name| name.starts_with(cpv)).unwrap();
    assert!(at("dev-libs/libcomb") < at("app-misc/hivemap") && at("dev-util/hexgen") < at("app-misc/hivemap"));
    assert_eq!(edge(plan, "app-misc/hivemap", "dev-util/hexgen"), Some((true, false)));
    assert_eq!(edge(plan, "app-misc/hivemap", "dev-libs/libcomb"), Some((true, true)));
    let target = |number: usize| &plan.packages[plan.targets[number].unwrap() as usize];
    assert!(target(0).cpv.starts_with("app-misc/hivemap-"));
    assert_eq!(target(1).use_flags, ["sweet"]);
    let mut slots: Vec<&str> =
        plan.packages.iter().filter(|p| p.cpv.starts_with("dev-libs/libpollen")).map(|p| p.slot.as_str()).collect();
    slots.sort_unstable();
    assert_eq!(slots, ["1", "2"]);
    let comb = plan.packages.iter().find(|p| p.cpv.starts_with("dev-libs/libcomb")).unwrap();
    let file = format!("{}.tar", comb.cpv.strip_prefix("dev-libs/").unwrap());
    assert!(comb.distfile_bytes > 0);
    assert_eq!(comb.sources, [swarm_protocol::plan::source_hash(&file)], "{file}, hashed as the agent does");
}

#[test]
fn a_variant_is_planned_by_its_lines_and_the_root_is_not_touched() {
    let farm = Farm::new();
    let root = &roots(&farm)[0];
    let plain = planned(&farm, root, &["app-misc/nectar"], &[]);
    assert!(!names(&plain).iter().any(|name| name.starts_with("dev-libs/libpollen")));
    let sweet = planned(&farm, root, &["app-misc/nectar"], &["app-misc/nectar sweet"]);
    assert!(names(&sweet).iter().any(|name| name.starts_with("dev-libs/libpollen-2")));
    assert_eq!(fs::read_dir(root.path.join("etc/portage/package.use")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(farm.path().join("plans")).unwrap().count(), 0);
}

#[test]
fn what_is_only_needed_later_is_planned_without_an_edge_of_either_kind() {
    let farm = Farm::new();
    let plan = planned(&farm, &roots(&farm)[0], &["app-misc/hen"], &[]);
    assert!(names(&plan).iter().any(|name| name.starts_with("app-misc/egg")));
    assert_eq!(edge(&plan, "app-misc/hen", "app-misc/egg").unwrap_or_default(), (false, false));
    assert_eq!(plan.packages[plan.targets[0].unwrap() as usize].cpv.split('-').nth(1), Some("misc/hen"));
}

#[test]
fn what_the_base_has_is_left_out_unless_it_does_not_fit() {
    let farm = Farm::new();
    let root = &roots(&farm)[0];
    let base = |cpv: &str, slot: &str| {
        let fields = [
            ("SLOT", slot),
            ("EAPI", "8"),
            ("repository", "swarm-demo"),
            ("IUSE", ""),
            ("USE", ""),
            ("KEYWORDS", "amd64"),
        ];
        let metadata = fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let list = [BasePackage { cpv: cpv.to_owned(), metadata }];
        fs::write(root.base_list(), serde_json::to_vec(&list).unwrap()).unwrap();
    };
    base("dev-libs/libcomb-1.2", "0");
    assert!(!names(&planned(&farm, root, &["app-misc/waggle"], &[])).iter().any(|name| name.contains("libcomb")));
    let asked = planned(&farm, root, &["dev-libs/libcomb"], &[]);
    assert_eq!(names(&asked).len(), 1, "a package that is asked for is planned though the base has it");
    base("dev-libs/libpollen-2.0", "2");
    let hivemap = planned(&farm, root, &["app-misc/hivemap"], &[]);
    assert!(names(&hivemap).contains(&"dev-libs/libpollen-1.4"), "slot 2 of the base does not serve slot 1");
}

#[test]
fn every_complaint_has_its_kind_and_says_what_could_be_done() {
    let farm = Farm::new();
    let cases = [
        ("app-misc/nothing-like-it", ComplaintKind::NotFound, "nothing-like-it"),
        ("nothing-like-it", ComplaintKind::NotFound, "spelling"),
        ("app-misc/queenless", ComplaintKind::NotFound, "app-misc/queen"),
        ("app-misc/tasting", ComplaintKind::UseChange, "sweet"),
        (">>broken", ComplaintKind::BadAtom, "category/name"),
        ("!app-misc/waggle", ComplaintKind::BadAtom, "blocker"),
    ];
    for root in roots(&farm) {
        for (atom, kind, said) in cases {
            let complaint = planned(&farm, &root, &[atom], &[]).complaint.unwrap_or_default();
            assert_eq!(complaint.kind, kind, "{atom}: {complaint:?}");
            assert!(complaint.text.contains(said), "{atom}: {}", complaint.text);
        }
        let complaint = planned(&farm, &root, &["app-misc/tasting"], &[]).complaint.unwrap();
        let (cpv, flags) = complaint.use_changes.first_key_value().unwrap();
        assert!(cpv.starts_with("app-misc/nectar-") && flags["sweet"]);
    }
}

/// Repositories made for this test: what the demo repository has no example of.
#[test]
fn masks_required_use_and_circles_are_told_apart() {
    let farm = Farm::new();
    let repository = farm.path().join("repository");
    let write = |name: &str, text: &str| {
        let path = repository.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let demo = farm.config("unused", "3.0.83").repository;
    for name in ["profiles/base/make.defaults", "profiles/base/eapi"] {
        if let Ok(text) = fs::read_to_string(demo.join(name)) {
            write(name, &text);
        }
    }
    write("metadata/layout.conf", "masters =\nthin-manifests = true\nprofile-formats = portage-2\n");
    write("profiles/repo_name", "odd\n");
    write("profiles/arch.list", "amd64\n");
    write("profiles/categories", "a\n");
    write("profiles/default/eapi", "8\n");
    write("profiles/default/parent", "../base\n");
    write(
        "profiles/default/make.defaults",
        "ARCH=\"amd64\"\nACCEPT_KEYWORDS=\"amd64\"\nCHOST=\"x86_64-pc-linux-gnu\"\n",
    );
    let ebuild = |name: &str, lines: &str| {
        let text = format!(
            "EAPI=8\nDESCRIPTION=\"x\"\nHOMEPAGE=\"x\"\nLICENSE=\"MIT\"\nSLOT=\"0\"\nKEYWORDS=\"amd64\"\n{lines}\n"
        );
        write(&format!("a/{name}/{name}-1.ebuild"), &text);
    };
    ebuild("masked", "KEYWORDS=\"~amd64\"");
    ebuild("needs-masked", "RDEPEND=\"a/masked\"");
    ebuild("picky", "IUSE=\"x y\"\nREQUIRED_USE=\"|| ( x y )\"");
    ebuild("one", "DEPEND=\"a/two\"");
    ebuild("two", "DEPEND=\"a/one\"");
    for version in VERSIONS {
        let base = farm.config(&format!("o-{version}"), version);
        let root = RootConfig { repository: repository.clone(), profile: "default".to_owned(), ..base };
        create(&RootSpec { config: root.clone(), ..Default::default() }).unwrap();
        for (atom, kind) in [
            ("a/masked", ComplaintKind::Masked),
            ("a/needs-masked", ComplaintKind::Masked),
            ("a/picky", ComplaintKind::RequiredUse),
            ("a/one", ComplaintKind::Circular),
        ] {
            let complaint = planned(&farm, &root, &[atom], &[]).complaint.unwrap_or_default();
            assert_eq!(complaint.kind, kind, "{version} {atom}: {complaint:?}");
        }
    }
}

#[test]
fn a_planner_that_takes_too_long_is_ended_and_blames_no_package() {
    let farm = Farm::new();
    let root = &roots(&farm)[0];
    let job = PlanJob { atoms: vec!["app-misc/waggle".to_owned()], ..Default::default() };
    let plan = plan(root, &job, &farm.path().join("plans"), Duration::from_millis(1));
    assert_eq!(plan.complaint.unwrap().kind, ComplaintKind::Planner);
}
