# What pint (https://cloudflare.github.io/pint/) holds the rule files to: `pint --offline lint alerts/*.rules.yaml`.

parser {
  include = ["(.*/)?alerts/[^/]+[.]rules[.]yaml"]
}

# Whoever is called has to know how bad it is, what is wrong, where, and what to do.
rule {
  match {
    kind = "alerting"
  }

  label "severity" {
    required = true
    severity = "bug"
    values   = ["critical", "warning", "info"]
  }

  annotation "summary" {
    required = true
    severity = "bug"
    value    = "[A-Z].+[^.]"
  }

  annotation "description" {
    required = true
    severity = "bug"
    value    = ".*[$]labels[.].+[.]|.*[$]labels[.].+[{][{] *end *[}][}]"
  }

  annotation "runbook_url" {
    required = true
    severity = "bug"
    value    = "https://github[.]com/container-registry-exporter/container-registry-exporter/blob/main/docs/runbooks/{{ $alert }}[.]md"
  }
}

# Recorded are names of other exporters of ECR, and nothing else.
rule {
  match {
    kind = "recording"
  }

  name "aws_ecr_[a-z_]+" {
    severity = "bug"
  }
}
