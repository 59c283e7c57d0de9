"""The files that account for a detection."""

import warnings


def write_report(detection, examples, out):
    """Writes the report, its table and the cleaned data set.

    Args:
        detection: a `Detection`.
        examples: its `Examples`.
        out: path of the folder.

    Returns:
        List of the paths that were written.
    """
    audit = detection.audit(examples)
    written = [
        audit.to_html(out / "report.html"),
        audit.to_parquet(out / "report.parquet"),
    ]
    try:
        written.append(audit.write_clean_examples(out / "clean.parquet"))
    except ValueError as error:  # images of a model that reads no uint8
        warnings.warn(
            f"The cleaned data set is not written: {error}", stacklevel=2
        )
    return written


def print_paths(paths):
    """Prints a line for each file that was written."""
    for path in paths:
        print(path)
