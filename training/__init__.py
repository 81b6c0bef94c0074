"""How is a robust checkpoint made and measured?"""
