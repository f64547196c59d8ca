"""What a job writes besides pictures: journal, records, run file, contact sheet."""
