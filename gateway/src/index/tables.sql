-- The records of ledgers, as far as signed checkpoints cover them: a copy to be asked in SQL. What is true is in the ledgers.
-- Texts have a replacement character (U+FFFD) for each NUL, which no text here can hold, and end after 500 bytes.
CREATE TABLE pointsman_records (
    -- The log's name, as its checkpoints say it, and the number of the record in it.
    log               text     NOT NULL,
    number            bigint   NOT NULL,
    kind              text,
    time              timestamptz,
    request           text,
    team              text,
    key               text,
    context           text,
    route             text,
    -- The model that was asked for.
    asked             text,
    verdict           text,
    -- Of a decision, who may serve first, under which licence; of an outcome, who served.
    deployment        text,
    model             text,
    license           text,
    tier              smallint,
    outcome           text,
    rule              text,
    rests_on          text[]   NOT NULL,
    status            text,
    prompt_tokens     bigint,
    completion_tokens bigint,
    cost_usd          double precision,
    -- SHA-256 of a zero byte and the record: its leaf in the log's Merkle tree (RFC 6962).
    leaf_hash         bytea    NOT NULL,
    -- The record, byte by byte as it was signed. Its JSON: pointsman_json(record).
    record            bytea    NOT NULL,
    PRIMARY KEY (log, number),
    CHECK (number >= 0)
);

CREATE INDEX pointsman_records_time ON pointsman_records (time);
CREATE INDEX pointsman_records_request ON pointsman_records (request);
CREATE INDEX pointsman_records_model ON pointsman_records (model, time);

-- A record as JSON, with a replacement character for each escaped NUL; nothing where it is none that PostgreSQL takes.
CREATE FUNCTION pointsman_json(record bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    written text;
BEGIN
    written := convert_from(record, 'UTF8');
    IF strpos(written, '\u0000') > 0 THEN
        -- A backslash before it, of which there is an odd number, makes it no escape.
        written := regexp_replace(written, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g');
    END IF;
    RETURN written::jsonb;
EXCEPTION WHEN others THEN
    RETURN NULL;
END
$$;

-- Requests: each decision with its outcome, and with the licence decision that counted: of the refusal, or of who served.
CREATE VIEW pointsman_requests AS
SELECT d.log, d.number, d.request, d.time, d.team, d.key, d.context, d.route, d.asked, d.verdict,
       o.number AS outcome_number, o.time AS ended, o.status, o.deployment, coalesce(l.model, o.model) AS model,
       l.license, l.tier, l.outcome, l.rule, l.rests_on, o.prompt_tokens, o.completion_tokens, o.cost_usd
FROM pointsman_records d
LEFT JOIN pointsman_records o ON o.log = d.log AND o.request = d.request AND o.kind = 'outcome'
LEFT JOIN LATERAL (
    SELECT d.model, d.license, d.tier, d.outcome, d.rule, d.rests_on
    WHERE d.verdict <> 'serve' OR d.deployment = o.deployment
    UNION ALL
    -- Served by another than the first: read from the record.
    SELECT c ->> 'model', c ->> 'license', (c ->> 'tier')::smallint, c ->> 'outcome', c ->> 'rule',
           ARRAY(SELECT jsonb_array_elements_text(coalesce(c -> 'rests_on', '[]')))
    FROM jsonb_array_elements(coalesce(pointsman_json(d.record) -> 'candidates', '[]')) AS c
    WHERE d.verdict = 'serve' AND d.deployment <> o.deployment AND c ->> 'deployment' = o.deployment
    LIMIT 1
) AS l ON true
WHERE d.kind = 'decision';
