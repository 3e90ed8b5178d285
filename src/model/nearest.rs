/// How much of a name is compared, in characters: work stays bounded, whatever was typed.
const COMPARED_MAX: usize = 60;
/// Names at least this alike are taken for each other; 1 is the same.
const NEAR: f64 = 0.5;

/// Of the known names the one that was most likely meant, if any is near enough.
pub fn nearest_name<'n>(typed: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let typed: String = typed.chars().take(COMPARED_MAX).collect::<String>().to_lowercase();
    let likeness = known.into_iter().map(|name| (strsim::normalized_damerau_levenshtein(&typed, name), name));
    let near = likeness.filter(|&(likeness, _)| likeness > NEAR);
    near.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}
