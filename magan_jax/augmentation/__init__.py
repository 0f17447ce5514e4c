"""Do labelled synthetic images help a classifier that has few labels?"""
