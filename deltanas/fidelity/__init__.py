"""How far our accuracies agree with those that a collection's authors recorded for the same networks.

`sample` chooses networks, `study` has them evaluated, `agreement` compares, `report` and `figure` show it.
"""
