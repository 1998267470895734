"""The lists of pairs that data sets come with, one room for each form."""
