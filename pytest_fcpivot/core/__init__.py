"""The data model and the text handling that every other part uses; imports nothing from the other folders."""
