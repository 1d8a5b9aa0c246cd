use proptest::prelude::*;

use super::*;

fn scope(may: &[Act], runbooks: &[&str], groups: &[&str]) -> Scope {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Scope { may: may.to_vec(), runbooks: texts(runbooks), groups: texts(groups) }
}

#[test]
fn roles_cover_what_the_table_says() {
    use Role::{Admin, Auditor, Engineer, Operator, Viewer};
    let covered: &[(Role, &[Role])] = &[
        (Viewer, &[Viewer]),
        (Auditor, &[Viewer, Auditor]),
        (Operator, &[Viewer, Operator]),
        (Engineer, &[Viewer, Operator, Engineer]),
        (Admin, &[Viewer, Auditor, Operator, Engineer, Admin]),
    ];
    for (role, may) in covered {
        for needed in Role::ALL {
            assert_eq!(role.covers(*needed), may.contains(needed), "{role} where {needed} is needed");
        }
    }
}

#[test]
fn what_is_left_under_a_ceiling_is_what_both_may() {
    for one in Role::ALL {
        for two in Role::ALL {
            let left = one.and(*two);
            assert_eq!(left, two.and(*one));
            for needed in Role::ALL {
                assert_eq!(
                    left.covers(*needed),
                    one.covers(*needed) && two.covers(*needed),
                    "{one} and {two}: {needed}"
                );
            }
        }
    }
}

#[test]
fn scopes_permit_what_they_name() {
    let web = scope(&[Act::Execute], &["restart-*"], &["web"]);
    let all = scope(&[Act::Approve], &["*"], &["*"]);
    let none = Rights::default();
    assert!(none.is_unlimited() && none.may(Act::Approve, "x", None));
    let rights = Rights::default().narrowed_by([&web]);
    for (act, runbook, group, expected) in [
        (Act::Execute, "restart-nginx", Some("web"), true),
        (Act::View, "restart-nginx", Some("web"), true),
        (Act::Approve, "restart-nginx", Some("web"), false),
        (Act::Execute, "restart-nginx", Some("db"), false),
        (Act::View, "restart-nginx", Some("db"), false),
        (Act::Execute, "restart-nginx", None, false),
        (Act::Execute, "reboot", Some("web"), false),
    ] {
        assert_eq!(rights.may(act, runbook, group), expected, "{act} {runbook} {group:?}");
    }
    assert!(rights.may_somewhere(Act::View, "restart-nginx") && !rights.may_somewhere(Act::View, "reboot"));
    for (act, group, expected) in [
        (Act::View, Some("web"), true),
        (Act::Execute, Some("web"), true),
        (Act::Approve, Some("web"), false),
        (Act::View, Some("db"), false),
        (Act::View, None, false),
    ] {
        assert_eq!(rights.may_at(act, group), expected, "{act} {group:?}");
        assert!(none.may_at(act, group));
    }
    let both = Rights::default().narrowed_by([&web, &all]);
    assert!(both.may(Act::Approve, "reboot", None) && !both.may(Act::Execute, "reboot", None));
    let each = Rights::default().narrowed_by([&web]).narrowed_by([&all]);
    assert!(each.may(Act::View, "restart-nginx", Some("web")), "both let it be seen");
    assert!(!each.may(Act::Execute, "restart-nginx", Some("web")), "the second permits approving only");
}

#[test]
fn a_scope_that_cannot_be_read_permits_nothing() {
    let broken = scope(&[Act::View], &["["], &["*"]);
    assert!(broken.flaw().is_some());
    assert!(!Rights::default().narrowed_by([&broken]).may(Act::View, "[", None));
    assert!(flaw(&[]).is_some());
    for wrong in [scope(&[], &["*"], &["*"]), scope(&[Act::View], &[], &["*"]), scope(&[Act::View], &["*"], &[])] {
        assert!(wrong.flaw().is_some(), "{wrong:?}");
    }
    assert_eq!(flaw(&[scope(&[Act::View], &["a", "/b+/"], &["{web,db}"])]), None);
}

proptest! {
    /// Whatever is added, nobody may do more than before.
    #[test]
    fn a_further_list_never_adds_a_right(
        lists in prop::collection::vec(prop::collection::vec((0..3_usize, "[ab*]", "[xy*]"), 0..3), 0..4),
        act in 0..3_usize, runbook in "[ab]", group in "[xy]",
    ) {
        let mut rights = Rights::default();
        let mut before = true;
        for list in lists {
            let scopes: Vec<Scope> =
                list.iter().map(|(act, runbook, group)| scope(&[Act::ALL[*act]], &[runbook], &[group])).collect();
            rights = rights.narrowed_by(&scopes);
            let now = rights.may(Act::ALL[act], &runbook, Some(&group));
            prop_assert!(before || !now);
            before = now;
        }
    }
}
