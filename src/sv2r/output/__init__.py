"""What a job leaves: journal, records, run file, contact sheet."""
