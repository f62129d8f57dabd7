-- The reward definition, in BigQuery's dialect; DuckDB runs the same file through sqlglot.
--
-- Reads  episodes(episode_id, episode_key, place, closed): the key is the id or anything that tells
--        ids apart, place is the row's number in dataset order;
--        signals(episode_id, episode_key, signal_type, value, latency, confidence);
--        signal_specs(position, signal_type, low, high, slope, intercept, silence_is_zero, weight,
--        half_life_seconds), one row per type; reward_rule(success_at, failure_at), one row.
-- Gives  one row per episode, in dataset order, with one column mean_<type> per type.
--
--   v = slope * value + intercept: 2 * value - 1 for a two-sided type, else value      -1 <= v <= 1
--   c = confidence * 2 ^ (-latency / half_life)                                         0 <= c <= 1
--   mean(type) = sum(c * v) / sum(c); 0 for a closed episode that is silent where silence means 0
--   reward = sum(weight * mean) / sum(weight), both over the types that have a mean
--
-- Only the names of the types are filled in, because a column must have a name; every number comes
-- from the tables. All evidence of an episode is summed in one pass over the signals.
WITH evidence AS (
  SELECT
    signals.episode_key,
    spec.position,
    spec.slope * signals.value + spec.intercept AS v,
    -- An undeclared type has no range and is refused. NaN is refused below, where a sum shows it:
    -- DuckDB decides range comparisons by Parquet's statistics, and those leave NaN out.
    IF(
      signals.value BETWEEN spec.low AND spec.high
        AND signals.confidence BETWEEN 0 AND 1
        AND signals.latency >= 0,
      signals.confidence * EXP(-LN(2) * signals.latency / spec.half_life_seconds),
      ERROR(CONCAT(
        'refused signal of type ', COALESCE(signals.signal_type, 'null'),
        ': value ', COALESCE(CAST(signals.value AS STRING), 'null'),
        ', confidence ', COALESCE(CAST(signals.confidence AS STRING), 'null'),
        ', latency ', COALESCE(CAST(signals.latency AS STRING), 'null'),
        ', episode ', COALESCE(signals.episode_id, 'null')
      ))
    ) AS c
  FROM signals
  LEFT JOIN signal_specs AS spec ON spec.signal_type = signals.signal_type
),

heard AS (
  SELECT
    episode_key,
    COUNT(*) AS signals,
    VAR_SAMP(v) AS variance
    {%- for name in names %},
    SUM(IF(position = {{ loop.index0 }}, c, NULL)) AS `c_{{ name }}`,
    SUM(IF(position = {{ loop.index0 }}, c * v, NULL)) AS `cv_{{ name }}`
    {%- endfor %}
  FROM evidence
  GROUP BY episode_key
),

rule AS (
  SELECT
    ANY_VALUE(reward_rule.success_at) AS success_at,
    ANY_VALUE(reward_rule.failure_at) AS failure_at
    {%- for name in names %},
    MAX(IF(position = {{ loop.index0 }}, weight, NULL)) AS `weight_{{ name }}`,
    MAX(IF(position = {{ loop.index0 }} AND silence_is_zero, 0.0, NULL)) AS `silence_{{ name }}`
    {%- endfor %}
  FROM signal_specs
  CROSS JOIN reward_rule
),

means AS (
  SELECT
    episodes.episode_id,
    episodes.place,
    episodes.closed,
    COALESCE(heard.signals, 0) AS signals,
    heard.variance
    {%- for name in names %},
    CASE
      WHEN heard.`c_{{ name }}` IS NOT NULL THEN heard.`cv_{{ name }}` / NULLIF(heard.`c_{{ name }}`, 0)
      WHEN episodes.closed THEN rule.`silence_{{ name }}`
    END AS `mean_{{ name }}`
    {%- endfor %}
  FROM episodes
  LEFT JOIN heard ON heard.episode_key = episodes.episode_key
  CROSS JOIN rule
),

weighted AS (
  SELECT
    means.*,
    rule.success_at,
    rule.failure_at,
    ({% for name in names %}{{ " + " if not loop.first }}COALESCE(`weight_{{ name }}` * `mean_{{ name }}`, 0){% endfor %})
    / NULLIF({% for name in names %}{{ " + " if not loop.first }}IF(`mean_{{ name }}` IS NULL, 0, `weight_{{ name }}`){% endfor %}, 0)
      AS ratio
  FROM means
  CROSS JOIN rule
),

scored AS (
  SELECT
    *,
    IF(
      IS_NAN(ratio),
      ERROR(CONCAT('refused signal of episode ', episode_id, ': value or confidence is nan')),
      GREATEST(-1.0, LEAST(1.0, ratio))
    ) AS reward
  FROM weighted
)

SELECT
  episode_id,
  reward,
  CASE
    WHEN reward >= success_at THEN 'success'
    WHEN reward <= failure_at THEN 'failure'
    WHEN reward IS NOT NULL THEN 'neutral'
  END AS outcome,
  signals,
  closed,
  variance
  {%- for name in names %},
  `mean_{{ name }}`
  {%- endfor %}
FROM scored
ORDER BY place
