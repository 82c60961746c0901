"""What every benchmark uses: results that are kept, tables, plots, how sure a score is."""
